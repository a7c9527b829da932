{{- /*
  Routes for Centauri. Left out is what would make it refuse the whole file, or serve what it
  shouldn't: hosts without a container that has a port, and hosts that ask for a login
  (com.chameth.auth), which Centauri has no means to. Headers replace those of the upstream.
*/ -}}
# Written by Dotege: changes will be overwritten.
{{- range .Hostnames}}
{{- $served := false}}{{$login := false}}
{{- range .Containers}}
{{- if .ShouldProxy}}{{$served = true}}{{end}}
{{- range $label, $_ := .Labels}}{{if eq $label "com.chameth.auth"}}{{$login = true}}{{end}}{{end}}
{{- end}}
{{- if $login}}

# {{.Name}} is left out: it asks for a login.
{{- else if not $served}}

# {{.Name}} is left out: none of its containers has a port.
{{- else}}

route {{.Name}}{{range .Alternatives}} {{.}}{{end}}
{{- range .Containers}}{{if .ShouldProxy}}
    upstream {{.Name}}:{{.Port}}
{{- end}}{{end}}
{{- range $name, $value := .Headers}}
    header replace {{$name}} {{$value}}
{{- end}}
{{- end}}
{{- end}}
