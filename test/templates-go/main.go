// Answers with the real text/template what ../template.test.ts expects and what ../templatefuzz.ts
// compares with. Nobody needs it to run the tests: what it answered is in ../vectors/.
//
//	go run . < ../vectors/template.ndjson > new    rewrites the vectors' results
//
// A row is a line of JSON: name, template, data; added are output, or error with phase, message and
// where Go says so line and column. ../templatedata.ts says how data are described. A line with
// define and data names data for later rows.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"text/template"
	"time"
)

type row struct {
	Define   string          `json:"define,omitempty"`
	Name     string          `json:"name,omitempty"`
	Template *string         `json:"template,omitempty"`
	Data     json.RawMessage `json:"data"`
	Output   *string         `json:"output,omitempty"`
	Error    *failure        `json:"error,omitempty"`
}

type failure struct {
	Phase   string `json:"phase"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
}

// Person is the type with methods.
type Person struct {
	Name string
	Age  int
}

func (p Person) Greet(greeting string) string { return greeting + ", " + p.Name }
func (p Person) Older(years int) Person       { return Person{p.Name, p.Age + years} }
func (p Person) Self() Person                 { return p }
func (p Person) Same(value any) any           { return value }
func (p Person) Tags() []string               { return []string{"a", "b"} }
func (p Person) Nothing() any                 { return nil }
func (p Person) Fail() (string, error)        { return "", errors.New("no luck") }
func (p Person) Join(sep string, parts ...string) string {
	return p.Name + sep + strings.Join(parts, sep)
}

// values are the functions that data can hold, for call.
var values = map[string]any{
	"hello":  func() string { return "hello" },
	"twice":  func(n int) int { return 2 * n },
	"joined": func(sep string, parts ...string) string { return strings.Join(parts, sep) },
	"fail":   func() (string, error) { return "", errors.New("no luck") },
}

// functions are what templates can use beside the builtins.
var functions = template.FuncMap{
	"replace": func(from, to, input string) string { return strings.ReplaceAll(input, from, to) },
	"split":   func(sep, input string) []string { return strings.Split(input, sep) },
	"join": func(sep string, list any) (string, error) {
		v, parts := reflect.ValueOf(list), []string{}
		if v.Kind() != reflect.Slice {
			return "", errors.New("not a list")
		}
		for i := 0; i < v.Len(); i++ {
			parts = append(parts, fmt.Sprint(v.Index(i).Interface()))
		}
		return strings.Join(parts, sep), nil
	},
	"sortlines": func(input string) string {
		lines := strings.Split(input, "\n")
		sort.Strings(lines)
		return strings.Join(lines, "\n")
	},
	"upper":   strings.ToUpper,
	"add1":    func(n int) int { return n + 1 },
	"negate":  func(b bool) bool { return !b },
	"same":    func(value any) any { return value },
	"nothing": func() any { return nil },
	"count":   func(values ...any) int { return len(values) },
	"fail":    func() (string, error) { return "", errors.New("no luck") },
}

// named are data that rows share.
var named = map[string]json.RawMessage{}

var (
	parseError = regexp.MustCompile(`^template: t:(\d+): `)
	execError  = regexp.MustCompile(`^template: t:(\d+):(\d+): `)
)

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<26)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for in.Scan() {
		var r row
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			panic(fmt.Sprintf("%s: %v", in.Text(), err))
		}
		if r.Define != "" {
			named[r.Define] = r.Data
			encoder.Encode(r)
			continue
		}
		r.Output, r.Error = nil, nil
		done, slow := make(chan row, 1), r
		go func(r row) {
			answer(&r)
			done <- r
		}(r)
		select {
		case r = <-done:
		case <-time.After(5 * time.Second):
			slow.Error = &failure{Phase: "exec", Message: "too long"}
			r = slow
		}
		if err := encoder.Encode(r); err != nil {
			panic(err)
		}
	}
}

func answer(r *row) {
	defer func() {
		if p := recover(); p != nil {
			r.Error = &failure{Phase: "panic", Message: fmt.Sprint(p)}
		}
	}()
	t, err := template.New("t").Funcs(functions).Parse(*r.Template)
	if err != nil {
		r.Error = place("parse", parseError, err)
		return
	}
	var b limited
	data := build(json.NewDecoder(bytes.NewReader(r.Data)))
	if err := t.Execute(&b, data); err != nil {
		r.Error = place("exec", execError, err)
		return
	}
	text := b.text.String()
	r.Output = &text
}

// limited ends what would print for ever: with an error without a place.
type limited struct{ text bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.text.Len() > 1<<20 {
		return 0, errors.New("too long")
	}
	return l.text.Write(p)
}

func place(phase string, pattern *regexp.Regexp, err error) *failure {
	f := failure{Phase: phase, Message: err.Error()}
	if found := pattern.FindStringSubmatch(f.Message); found != nil {
		f.Line, _ = strconv.Atoi(found[1])
		if len(found) > 2 {
			f.Column, _ = strconv.Atoi(found[2])
		}
	}
	return &f
}

// build reads a description.
func build(d *json.Decoder) any {
	d.UseNumber()
	token, err := d.Token()
	if err != nil {
		panic(err)
	}
	switch token := token.(type) {
	case json.Number:
		if n, err := strconv.Atoi(token.String()); err == nil {
			return n
		}
		f, _ := token.Float64()
		return f
	case json.Delim:
		if token == '[' {
			list := []any{}
			for d.More() {
				list = append(list, build(d))
			}
			d.Token()
			return slice(list)
		}
		kind, _ := d.Token()
		value := object(kind.(string), d)
		d.Token()
		return value
	}
	return token
}

func object(kind string, d *json.Decoder) any {
	if kind == "func" || kind == "named" {
		name, _ := d.Token()
		if kind == "func" {
			return values[name.(string)]
		}
		return build(json.NewDecoder(bytes.NewReader(named[name.(string)])))
	}
	names, list := []string{}, []any{}
	d.Token()
	for d.More() {
		name, _ := d.Token()
		names, list = append(names, name.(string)), append(list, build(d))
	}
	d.Token()
	switch kind {
	case "map":
		m := reflect.MakeMap(reflect.MapOf(reflect.TypeFor[string](), common(list)))
		for i, name := range names {
			m.SetMapIndex(reflect.ValueOf(name), of(list[i], m.Type().Elem()))
		}
		return m.Interface()
	case "intmap":
		m := reflect.MakeMap(reflect.MapOf(reflect.TypeFor[int](), common(list)))
		for i, name := range names {
			n, _ := strconv.Atoi(name)
			m.SetMapIndex(reflect.ValueOf(n), of(list[i], m.Type().Elem()))
		}
		return m.Interface()
	case "person":
		return Person{list[0].(string), list[1].(int)}
	}
	fields := []reflect.StructField{}
	for i, name := range names {
		typ := reflect.TypeFor[any]()
		if list[i] != nil {
			typ = reflect.TypeOf(list[i])
		}
		fields = append(fields, reflect.StructField{Name: name, Type: typ})
	}
	v := reflect.New(reflect.StructOf(fields)).Elem()
	for i := range names {
		v.Field(i).Set(of(list[i], v.Field(i).Type()))
	}
	return v.Interface()
}

func slice(list []any) any {
	s := reflect.MakeSlice(reflect.SliceOf(common(list)), len(list), len(list))
	for i, value := range list {
		s.Index(i).Set(of(value, s.Type().Elem()))
	}
	return s.Interface()
}

func of(value any, typ reflect.Type) reflect.Value {
	if value == nil {
		return reflect.Zero(typ)
	}
	return reflect.ValueOf(value)
}

// common is a basic type that all have, string for none at all, or else any.
func common(list []any) reflect.Type {
	typ := reflect.TypeFor[string]()
	for i, value := range list {
		switch value.(type) {
		case string, bool, int, float64:
		default:
			return reflect.TypeFor[any]()
		}
		if i > 0 && reflect.TypeOf(value) != typ {
			return reflect.TypeFor[any]()
		}
		typ = reflect.TypeOf(value)
	}
	return typ
}
