package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// yamlIndent is what sops indents with.
const yamlIndent = 4

// readYAML reads documents with the library that sops uses, so that values get the types that the MAC was made of.
// Anchors are refused: sops writes none, and they could make a small file endless.
func readYAML(text []byte) ([]mapping, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var parts []mapping
	for {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errors.New("it is no valid YAML")
		}
		part, err := readDocument(&document)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return nil, errors.New("it is empty")
	}
	return parts, nil
}

func readDocument(document *yaml.Node) (mapping, error) {
	part := mapping{}
	part.notes(false, document.HeadComment, document.LineComment)
	for _, top := range document.Content {
		if top.Kind != yaml.MappingNode {
			if top.Kind == yaml.ScalarNode && top.ShortTag() == "!!null" {
				continue
			}
			return nil, errors.New("a document of it is no mapping")
		}
		below, err := readMapping(top, false)
		if err != nil {
			return nil, err
		}
		part = append(part, below...)
	}
	part.notes(false, document.FootComment)
	return part, nil
}

// notes adds comments, each line as a member of its own.
func (m *mapping) notes(inline bool, comments ...string) {
	for _, comment := range comments {
		for line := range strings.SplitSeq(comment, "\n") {
			if line != "" {
				*m = append(*m, member{note: &note{strings.TrimPrefix(line, "#"), inline}})
			}
		}
	}
}

func (s *sequence) notes(inline bool, comments ...string) {
	var lines mapping
	lines.notes(inline, comments...)
	for _, line := range lines {
		*s = append(*s, line.note)
	}
}

// readMapping reads a mapping; its own comments go into it unless the parent has taken them.
func readMapping(node *yaml.Node, taken bool) (mapping, error) {
	m := mapping{}
	if !taken {
		m.notes(false, node.HeadComment, node.LineComment)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		m.notes(false, key.HeadComment, key.LineComment)
		if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" {
			return nil, fmt.Errorf("line %d: a key is no text", key.Line)
		}
		if seen[key.Value] {
			return nil, fmt.Errorf("line %d: the key %q is there twice", key.Line, key.Value)
		}
		seen[key.Value] = true
		scalar := value.Kind == yaml.ScalarNode
		if scalar {
			m.notes(false, value.HeadComment)
			m.notes(true, value.LineComment)
		}
		read, err := readNode(value, scalar)
		if err != nil {
			return nil, err
		}
		m = append(m, member{key: key.Value, value: read})
		if scalar {
			m.notes(false, value.FootComment)
		}
		m.notes(false, key.FootComment)
	}
	if !taken {
		m.notes(false, node.FootComment)
	}
	return m, nil
}

func readSequence(node *yaml.Node, taken bool) (sequence, error) {
	s := sequence{}
	if !taken {
		s.notes(false, node.HeadComment, node.LineComment)
	}
	for _, one := range node.Content {
		s.notes(false, one.HeadComment)
		s.notes(true, one.LineComment)
		read, err := readNode(one, true)
		if err != nil {
			return nil, err
		}
		s = append(s, read)
		s.notes(false, one.FootComment)
	}
	if !taken {
		s.notes(false, node.FootComment)
	}
	return s, nil
}

func readNode(node *yaml.Node, taken bool) (any, error) {
	switch node.Kind {
	case yaml.MappingNode:
		return readMapping(node, taken)
	case yaml.SequenceNode:
		return readSequence(node, taken)
	case yaml.ScalarNode:
		var value any
		if err := node.Decode(&value); err != nil {
			return nil, fmt.Errorf("line %d: a value is malformed", node.Line)
		}
		switch value := value.(type) {
		case []byte:
			return string(value), nil
		case int64, uint64:
			return nil, fmt.Errorf("line %d: a number is too large", node.Line)
		}
		return value, nil
	default:
		return nil, fmt.Errorf("line %d: anchors are not supported in an encrypted file", node.Line)
	}
}

// writeYAML writes documents as sops does.
func writeYAML(parts []mapping) ([]byte, error) {
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(yamlIndent)
	for _, part := range parts {
		top, err := part.node()
		if err != nil {
			return nil, err
		}
		if err := encoder.Encode(&yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{top}}); err != nil {
			return nil, errors.New("it cannot be written as YAML")
		}
	}
	err := encoder.Close()
	return text.Bytes(), err
}

// waiting collects comments until the node that they belong to comes.
type waiting struct{ above, behind []string }

func (w *waiting) add(line *note) {
	if line.inline {
		w.behind = append(w.behind, line.text)
	} else {
		w.above = append(w.above, line.text)
	}
}

func commentOf(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return "#" + strings.Join(lines, "\n#")
}

func joined(one, other string) string {
	if one == "" || other == "" {
		return one + other
	}
	return one + "\n" + other
}

// first puts the comments before the first entry above the whole collection.
func (w *waiting) first(node *yaml.Node) {
	node.HeadComment, w.above = commentOf(w.above), nil
}

// rest puts the comments after the last entry, if there is one, below it.
func (w *waiting) rest(node, last *yaml.Node) {
	comment := commentOf(append(w.above, w.behind...))
	if last == nil {
		node.HeadComment = joined(comment, node.HeadComment)
		return
	}
	last.FootComment = joined(last.FootComment, comment)
}

func (m mapping) node() (*yaml.Node, error) {
	node := &yaml.Node{Kind: yaml.MappingNode}
	var notes waiting
	var last *yaml.Node
	for _, one := range m {
		if one.note != nil {
			notes.add(one.note)
			continue
		}
		if last == nil {
			notes.first(node)
		}
		last = &yaml.Node{}
		if err := last.Encode(one.key); err != nil {
			return nil, err
		}
		last.HeadComment, notes.above = commentOf(notes.above), nil
		value, err := nodeOf(one.value)
		if err != nil {
			return nil, err
		}
		value.LineComment, notes.behind = commentOf(notes.behind), nil
		node.Content = append(node.Content, last, value)
	}
	notes.rest(node, last)
	return node, nil
}

func (s sequence) node() (*yaml.Node, error) {
	node := &yaml.Node{Kind: yaml.SequenceNode}
	var notes waiting
	var last *yaml.Node
	for _, one := range s {
		if line, ok := one.(*note); ok {
			notes.add(line)
			continue
		}
		if last == nil {
			notes.first(node)
		}
		value, err := nodeOf(one)
		if err != nil {
			return nil, err
		}
		value.HeadComment, notes.above = joined(commentOf(notes.above), value.HeadComment), nil
		value.LineComment, notes.behind = commentOf(notes.behind), nil
		last = value
		node.Content = append(node.Content, value)
	}
	notes.rest(node, last)
	return node, nil
}

func nodeOf(value any) (*yaml.Node, error) {
	switch value := value.(type) {
	case mapping:
		return value.node()
	case sequence:
		return value.node()
	default:
		node := &yaml.Node{}
		err := node.Encode(value)
		return node, err
	}
}
