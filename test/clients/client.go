// What Go's HTTP client says of a server: PORT PROTOCOL. One line for each thing tried.
package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
)

var client *http.Client

func try(name string, attempt func() (string, error)) {
	said, err := attempt()
	if err != nil {
		said = "error: " + err.Error()
	}
	fmt.Printf("%s: %s\n", name, said)
}

func do(method, url string, body io.Reader, fields ...string) (string, *http.Response, error) {
	request, err := http.NewRequest(method, url, body)
	if err != nil {
		return "", nil, err
	}
	for i := 0; i < len(fields); i += 2 {
		request.Header.Set(fields[i], fields[i+1])
	}
	answer, err := client.Do(request)
	if err != nil {
		return "", nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), answer, err
}

func main() {
	base := "https://localhost:" + os.Args[1]
	transport := &http.Transport{ForceAttemptHTTP2: os.Args[2] == "HTTP/2.0"}
	if !transport.ForceAttemptHTTP2 {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	client = &http.Client{Transport: transport}
	try("get", func() (string, error) {
		text, answer, err := do("GET", base+"/echo?a", nil)
		if err != nil {
			return "", err
		}
		return answer.Proto + " " + text, nil
	})
	try("chunked upload", func() (string, error) {
		reader, writer := io.Pipe()
		go func() {
			for i := 0; i < 300; i++ {
				writer.Write(bytes.Repeat([]byte("x"), 10_000))
			}
			writer.Close()
		}()
		text, _, err := do("PUT", base+"/echo", reader)
		return text, err
	})
	try("expecting to continue", func() (string, error) {
		body := strings.NewReader(strings.Repeat("x", 100_000))
		text, _, err := do("POST", base+"/echo", body, "Expect", "100-continue")
		return text, err
	})
	try("trailers", func() (string, error) {
		_, answer, err := do("GET", base+"/trailers", nil, "TE", "trailers")
		if err != nil {
			return "", err
		}
		return answer.Trailer.Get("X-Sum"), nil
	})
	try("side by side", func() (string, error) {
		var failed atomic.Int32
		var first atomic.Value
		var group sync.WaitGroup
		for i := 0; i < 200; i++ {
			group.Add(1)
			go func() {
				defer group.Done()
				if text, _, err := do("GET", base+"/file", nil); err != nil || len(text) != 300_000 {
					failed.Add(1)
					first.CompareAndSwap(nil, fmt.Sprint(": ", err))
				}
			}()
		}
		group.Wait()
		why, _ := first.Load().(string)
		return fmt.Sprintf("%d of 200 failed%s", failed.Load(), why), nil
	})
}
