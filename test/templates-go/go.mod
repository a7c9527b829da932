module templates

go 1.26
