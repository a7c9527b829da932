{{- /*
  HAProxy 2.6 or later, in a container on the networks of those that it serves: it asks Docker's DNS
  (127.0.0.11) for them. /certs/ has a file for each certificate, with its key (Dotege's deployment
  "combined"); connections for names without one are refused.

  Text from labels stands in double quotes, in which HAProxy gives a meaning to the backslash, the
  quote and the dollar sign, and in formats also to the percent sign.
*/ -}}
{{- define "quoted"}}"{{. | replace `\` `\\` | replace `"` `\"` | replace `$` `\$`}}"{{end -}}
{{- define "below"}}'^[^.]+{{slice . 1 | replace "." `\.`}}$'{{end -}}
{{- define "format"}}{{template "quoted" (replace "%" "%%" .)}}{{end -}}
# Written by Dotege: changes will be overwritten.

global
    log stdout format raw local0
    # Docker may allow a billion, which HAProxy would make room for.
    fd-hard-limit 100000
    ssl-default-bind-options ssl-min-ver TLSv1.2

defaults
    mode http
    log global
    option httplog
    option dontlognull
    option redispatch
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-request 10s
    timeout tunnel 1h

resolvers docker
    nameserver dns 127.0.0.11:53
    resolve_retries 3
    timeout resolve 1s
    timeout retry 1s
    hold valid 10s

userlist dotege
{{- range .Groups}}
    group {{template "quoted" .}}
{{- end}}
{{- range .Users}}
    user {{template "quoted" .Name}} password {{template "quoted" .Password}}
{{- if .Groups}} groups {{template "quoted" (join "," .Groups)}}{{end}}
{{- end}}

frontend http
    bind :80
    http-request redirect scheme https code 301

frontend https
    bind :443 ssl strict-sni crt /certs/ alpn h2,http/1.1
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto https
    http-request set-var(txn.host) req.hdr(host),field(1,:)
{{- /* A wildcard is for one label, and for names that nobody else has: so it comes last. */}}
{{- range .Hostnames}}
{{- $backend := replace "*" ":" .Name}}
{{- if ne (slice .Name 0 1) "*"}}
    use_backend {{$backend}} if { var(txn.host) -m str -i {{.Name}} }
{{- end}}
{{- range .Alternatives}}
{{- if ne (slice . 0 1) "*"}}
    use_backend {{$backend}} if { var(txn.host) -m str -i {{.}} }
{{- end}}
{{- end}}
{{- end}}
{{- range .Hostnames}}
{{- $backend := replace "*" ":" .Name}}
{{- if eq (slice .Name 0 1) "*"}}
    use_backend {{$backend}} if { var(txn.host) -m reg -i {{template "below" .Name}} }
{{- end}}
{{- range .Alternatives}}
{{- if eq (slice . 0 1) "*"}}
    use_backend {{$backend}} if { var(txn.host) -m reg -i {{template "below" .}} }
{{- end}}
{{- end}}
{{- end}}
{{range .Hostnames}}
backend {{replace "*" ":" .Name}}
{{- if .RequiresAuth}}
{{- if .AuthGroup}}
{{- range split " " .AuthGroup}}
    acl may_enter http_auth_group(dotege) -- {{template "quoted" .}}
{{- end}}
{{- else}}
    acl may_enter http_auth(dotege)
{{- end}}
    http-request auth realm {{.Name}} unless may_enter
{{- end}}
{{- range $name, $value := .Headers}}
    http-response set-header {{template "quoted" $name}} {{template "format" $value}}
{{- end}}
{{- range .Containers}}{{if .ShouldProxy}}
    server {{.Name}} {{.Name}}:{{.Port}} check resolvers docker init-addr last,libc,none
{{- end}}{{end}}
{{end}}
