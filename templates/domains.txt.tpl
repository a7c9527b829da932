{{- /* A line a certificate, as dehydrated reads them: the primary name, then the others. */ -}}
{{range .Hostnames}}{{.Name}}{{range .Alternatives}} {{.}}{{end}}
{{end -}}
