package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"strings"
	"sync"
	"testing"
)

// pack makes a tar.gz of headers, each file with its Linkname as content.
func pack(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var packed bytes.Buffer
	stream := gzip.NewWriter(&packed)
	archive := tar.NewWriter(stream)
	for _, header := range headers {
		content := ""
		if header.Typeflag == tar.TypeReg {
			content, header.Linkname = header.Linkname, ""
			header.Size = int64(len(content))
		}
		if err := archive.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func file(name, content string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Linkname: content, Mode: 0o600}
}

var roomy = Limits{Bytes: mebibyte, Entries: 100}

// TestUnpackRefuses covers the archives that a source worker never makes.
func TestUnpackRefuses(t *testing.T) {
	cases := map[string]struct {
		packed []byte
		limits Limits
		says   string
	}{
		"escape":      {pack(t, file("../x.yaml", "")), roomy, "leaves it"},
		"deep escape": {pack(t, file("a/../../x.yaml", "")), roomy, "leaves it"},
		"absolute":    {pack(t, file("/etc/x.yaml", "")), roomy, "leaves it"},
		"twice":       {pack(t, file("a", "1"), file("./a", "2")), roomy, "appears twice"},
		"below file":  {pack(t, file("a", "1"), file("a/b", "2")), roomy, "below a file"},
		"too large":   {pack(t, file("a", strings.Repeat("x", 2*mebibyte))), roomy, "more than 1 MiB"},
		"too many":    {pack(t, file("a", ""), file("b", ""), file("c", "")), Limits{Bytes: mebibyte, Entries: 2}, "more than 2 entries"},
		"no gzip":     {[]byte("hello"), roomy, "not a valid tar.gz"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := unpack(c.packed, c.limits)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want something with %q", err, c.says)
			}
		})
	}
}

// TestClosureHolds shows that a closure holds exactly as long as all that was seen stays.
func TestClosureHolds(t *testing.T) {
	manifest := file("a/cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
	load := func(headers ...tar.Header) *Tree {
		tree, err := unpack(pack(t, headers...), roomy)
		if err != nil {
			t.Fatal(err)
		}
		return tree
	}
	built, err := Build(context.Background(), load(manifest, file("b/other", "1")), "a", &Parts{}, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		tree *Tree
		want bool
	}{
		"elsewhere changed":   {load(manifest, file("b/other", "2")), true},
		"file changed":        {load(file("a/cm.yaml", "x: y")), false},
		"file added":          {load(manifest, file("a/more.yaml", "")), false},
		"kustomization added": {load(manifest, file("a/kustomization.yaml", "")), false},
		"gone":                {load(file("b/other", "1")), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := built.Closure.Holds(c.tree); got != c.want {
				t.Fatalf("Holds() = %v, want %v; closure %v", got, c.want, built.Closure)
			}
		})
	}
}

// TestOwnSchemaStaysItsOwn shows that a build with its own schema leaves the built-in one to the next.
func TestOwnSchemaStaysItsOwn(t *testing.T) {
	deployment := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n" +
		"spec: {template: {spec: {containers: [{name: a, image: a}, {name: b, image: b}]}}}\n"
	patch := "patches: [{patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, " +
		"spec: {template: {spec: {containers: [{name: a, image: x}]}}}}'}]\n"
	own, err := unpack(pack(t, file("d.yaml", deployment), file("s.json", `{"definitions": {}}`),
		file("kustomization.yaml", "resources: [d.yaml]\nopenapi: {path: s.json}\n"+patch)), roomy)
	if err != nil {
		t.Fatal(err)
	}
	builtin, err := unpack(pack(t, file("d.yaml", deployment), file("kustomization.yaml", "resources: [d.yaml]\n"+patch)), roomy)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := Build(context.Background(), own, ".", &Parts{}, false, nil); err != nil {
			t.Fatal(err)
		}
		result, err := Build(context.Background(), builtin, ".", &Parts{}, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(result.Objects[0]); !strings.Contains(got, `"image":"x"`) || !strings.Contains(got, `"image":"b"`) {
			t.Fatalf("containers were not merged by name: %s", got)
		}
	}
}

// TestConcurrentBuilds lets builds with and without a schema of their own run at once; run it with -race.
func TestConcurrentBuilds(t *testing.T) {
	custom := file("cm.yaml", "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\n")
	var trees []*Tree
	for _, kustomization := range []string{"resources: [cm.yaml]\nnamespace: x\n", "resources: [cm.yaml]\nopenapi: {path: s.json}\n"} {
		tree, err := unpack(pack(t, custom, file("s.json", "{}"), file("kustomization.yaml", kustomization)), roomy)
		if err != nil {
			t.Fatal(err)
		}
		trees = append(trees, tree)
	}
	var builds sync.WaitGroup
	for i := range 40 {
		builds.Go(func() {
			result, err := Build(context.Background(), trees[i%2], ".", &Parts{NamePrefix: "p-"}, false, nil)
			if err != nil || len(result.Objects) != 1 {
				t.Errorf("build %d: %v", i, err)
			}
		})
	}
	builds.Wait()
}
