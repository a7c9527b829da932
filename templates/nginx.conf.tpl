{{- /*
  The whole configuration of nginx 1.19.4 or later (nginx.conf itself), in a container on the
  networks of those that it serves: it asks Docker's DNS (127.0.0.11) for them at each request, so a
  container that is gone keeps nginx from nothing.

  Certificates: /certs/NAME.pem and /certs/NAME.key for a host's primary name, "_" for its "*"
  (Dotege's deployment "splitkeys"). They are read at each handshake and not at the start: a missing
  one is its own host's trouble only. The workers read them, so their user needs the right to
  (DOTEGE_CERT_UID, DOTEGE_CERT_GID or DOTEGE_CERT_MODE).

  Logins (com.chameth.auth): users are in /etc/nginx/htpasswd, those of groups in
  /etc/nginx/htpasswd.GROUP (several groups: joined by "+"); without the file nobody gets in. Dotege
  can write them, by a template like this for the first:
      {{range .Users}}{{.Name}}:{{.Password}}{{"\n"}}{{end}}

  Several containers of a host share its requests by chance, up to 16 of them.

  Text from labels stands in double quotes, in which nginx gives a meaning to the backslash, the
  quote and, except in names, the dollar sign, which it has no way to escape: so a variable has one.
*/ -}}
# Written by Dotege: changes will be overwritten.

worker_processes auto;

events {
    worker_connections 1024;
}

http {
    server_tokens off;
    resolver 127.0.0.11 valid=10s;

    # Room for the longest names that labels can give.
    server_names_hash_max_size 16384;
    server_names_hash_bucket_size 512;
    proxy_headers_hash_max_size 4096;
    proxy_headers_hash_bucket_size 256;
    variables_hash_max_size 16384;
    variables_hash_bucket_size 1024;

    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:10m;

    client_max_body_size 0;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto https;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_header;

    map $http_upgrade $connection_header {
        default upgrade;
        "" "";
    }
    # Empty, but nginx can't know that before a handshake, so it doesn't look for the files earlier.
    map $ssl_server_name $later {
        default "";
    }
    geo $dollar {
        default "$";
    }

    server {
        listen 80 default_server;
        return 301 https://$host$request_uri;
    }

    server {
        listen 443 ssl http2 default_server;
        ssl_reject_handshake on;
        return 421;
    }
{{- range .Hostnames}}
{{- /* Go templates can't count, but lengthen a text and take its length. */}}
{{- $all := ""}}{{$upstream := ""}}
{{- range .Containers}}{{if .ShouldProxy}}
{{- $upstream = printf "%s:%d" .Name .Port}}{{$all = printf "%s+" $all}}
{{- end}}{{end}}
{{- if gt (len $all) 1}}
{{- /* A variable's name: letters of any case, digits and _ only, and no two hosts the same. */}}
{{- $variable := .Name | replace "_" "_u" | replace "-" "_h" | replace "." "_d" | replace "*" "_w"}}
{{- $last := $upstream}}{{$upstream = printf "$to_%s" $variable}}
{{- $shares := split " " "0 100 50 33.3 25 20 16.6 14.2 12.5 11.1 10 9 8.3 7.6 7.1 6.6"}}
{{- $share := "6.2"}}{{if lt (len $all) 16}}{{$share = index $shares (len $all)}}{{end}}

    split_clients $request_id {{$upstream}} {
{{- $seen := ""}}
{{- range .Containers}}{{if .ShouldProxy}}{{$seen = printf "%s+" $seen}}
{{- if and (lt (len $seen) (len $all)) (lt (len $seen) 16)}}
        {{$share}}% "{{.Name}}:{{.Port}}";
{{- end}}{{end}}{{end}}
        * "{{$last}}";
    }
{{- end}}

    server {
        listen 443 ssl;
        server_name {{.Name}}{{range .Alternatives}} {{.}}{{end}};
        ssl_certificate "/certs/{{replace "*" "_" .Name}}.pem$later";
        ssl_certificate_key "/certs/{{replace "*" "_" .Name}}.key$later";
{{- if .RequiresAuth}}
{{- $groups := ""}}{{if .AuthGroup}}{{$groups = printf ".%s" (replace " " "+" .AuthGroup)}}{{end}}
        auth_basic "{{.Name}}";
        auth_basic_user_file "/etc/nginx/htpasswd{{$groups}}";
{{- end}}
{{- range $name, $value := .Headers}}
{{- $value = $value | replace `\` `\\` | replace `"` `\"` | replace "$" "${dollar}"}}
{{- if lt (len $value) 4000}}
        proxy_hide_header "{{$name}}";
        add_header "{{$name}}" "{{$value}}" always;
{{- else}}
        # The header {{$name}} is left out: nginx takes no text that long.
{{- end}}
{{- end}}
        location / {
{{- if $upstream}}
            set $container {{$upstream}};
            proxy_pass http://$container;
{{- else}}
            return 503;
{{- end}}
        }
    }
{{- end}}
}
