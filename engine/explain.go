package main

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
)

// maxMessage is the longest text of an error, in bytes; it ends up in a condition.
const maxMessage = 2000

// asDirectory matches kustomize's habit of trying a file once more as a directory and reporting both failures.
var asDirectory = regexp.MustCompile(`accumulation err='(.*)': must build at directory: (?:not a valid directory: )?'[^']*'[^']*$`)

// viaDirectory matches its habit of trying a directory as a file first.
var viaDirectory = regexp.MustCompile(`accumulation err='accumulating resources from '[^']*': '[^']*' is a directory': `)

// nested matches the way through bases, of which the last says where it failed.
var nested = regexp.MustCompile(`(accumulating resources: recursed accumulation of path '[^']*': ){2,}`)

// unquoted are the places where kustomize repeats content of the source, which may be a secret, and what stays of them.
var unquoted = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile("(?s) with config: `.*?`"), ""},
	{regexp.MustCompile(`(?s) from \[patch: .*\]`), ""},
	{regexp.MustCompile(`(?s)literal sources \[.*expected key=value`), "a literal is not of the form key=value"},
	{regexp.MustCompile(`"[^"]*" is not a valid key name`), "a line is not of the form key=value"},
	{regexp.MustCompile(`(?s)\n\*\*\*\* Too many possible referral targets to referrer.*`), ""},
	{regexp.MustCompile(`merging from generator &\{0x[^}]*\}: id `), "a generated object: "}, // an address differs each time
	{regexp.MustCompile(`resid\.ResId\{Gvk:resid\.Gvk\{Group:"([^"]*)", Version:"[^"]*", Kind:"([^"]*)"[^}]*\}, ` +
		`Name:"([^"]*)", Namespace:"([^"]*)"\}`), "$2 $4/$3"},
}

// explain puts first what the user can do, and cuts what only kustomize's authors need.
func explain(view *View, dir string, err error) error {
	var fault *Fault
	if err == nil || errors.As(err, &fault) || errors.Is(err, errNeedsSchema) {
		return err
	}
	if why := view.refusal(); why != "" {
		return &Fault{Code: CodeBuild, Message: why}
	}
	message := tidy(err.Error())
	if view.escaped != "" {
		message = fmt.Sprintf("a path leads to %s, outside of the source; use paths inside of it: %s", view.escaped, message)
	}
	return &Fault{Code: CodeBuild, Message: shorten(fmt.Sprintf("kustomize build of %s: %s", place(view.tree, dir), message))}
}

func tidy(message string) string {
	message = asDirectory.ReplaceAllString(strings.TrimSpace(message), "$1")
	message = viaDirectory.ReplaceAllString(message, "")
	message = nested.ReplaceAllString(message, "$1")
	for _, place := range unquoted {
		message = place.pattern.ReplaceAllString(message, place.instead)
	}
	message = strings.ReplaceAll(message, root+"/", "")
	message = strings.ReplaceAll(message, "'"+root+"'", "the root")
	return strings.ReplaceAll(message, root, "the root")
}

// place names what was built: the directory's own kustomization file, else the directory, whose file was generated.
func place(tree *Tree, dir string) string {
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		file := path.Join(dir, name)
		if node, ok := tree.nodes[file]; ok && !node.dir {
			return file
		}
	}
	if dir == "." {
		return "the root"
	}
	return dir
}

func shorten(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	// What matters most is at the end.
	head, tail := message[:maxMessage/4], message[len(message)-maxMessage*3/4:]
	return strings.ToValidUTF8(head, "") + " … " + strings.ToValidUTF8(tail, "")
}
