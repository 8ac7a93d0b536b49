package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// readJSON reads an object with its order; numbers are int where they fit, else float64.
func readJSON(text []byte) ([]mapping, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	value, err := readToken(decoder)
	if err == nil {
		if _, rest := decoder.Token(); !errors.Is(rest, io.EOF) {
			err = errors.New("more than one value")
		}
	}
	top, ok := value.(mapping)
	if err != nil || !ok {
		return nil, errors.New("it is no valid JSON object")
	}
	return []mapping{top}, nil
}

func readToken(decoder *json.Decoder) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '{' {
			return readObject(decoder)
		}
		return readArray(decoder)
	case json.Number:
		if number, err := token.Int64(); err == nil {
			return int(number), nil
		}
		return token.Float64()
	default:
		return token, nil
	}
}

func readObject(decoder *json.Decoder) (mapping, error) {
	m, seen := mapping{}, map[string]bool{}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		name, ok := key.(string)
		if !ok || seen[name] {
			return nil, errors.New("a key twice")
		}
		seen[name] = true
		value, err := readToken(decoder)
		if err != nil {
			return nil, err
		}
		m = append(m, member{key: name, value: value})
	}
	_, err := decoder.Token()
	return m, err
}

func readArray(decoder *json.Decoder) (sequence, error) {
	s := sequence{}
	for decoder.More() {
		value, err := readToken(decoder)
		if err != nil {
			return nil, err
		}
		s = append(s, value)
	}
	_, err := decoder.Token()
	return s, err
}

// writeJSON writes as sops does: indented by tabs, comments left out.
func writeJSON(m mapping) ([]byte, error) {
	compact, err := compactJSON(nil, m)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = json.Indent(&text, compact, "", "\t")
	text.WriteByte('\n')
	return text.Bytes(), err
}

func compactJSON(text []byte, value any) ([]byte, error) {
	var err error
	switch value := value.(type) {
	case mapping:
		text = append(text, '{')
		for _, one := range value {
			if one.note != nil {
				continue
			}
			if text, err = compactJSON(separated(text), one.key); err != nil {
				return nil, err
			}
			if text, err = compactJSON(append(text, ':'), one.value); err != nil {
				return nil, err
			}
		}
		return append(text, '}'), nil
	case sequence:
		text = append(text, '[')
		for _, one := range value {
			if _, isNote := one.(*note); isNote {
				continue
			}
			if text, err = compactJSON(separated(text), one); err != nil {
				return nil, err
			}
		}
		return append(text, ']'), nil
	case float64:
		if math.IsInf(value, 0) || math.IsNaN(value) {
			return nil, errors.New("a number of it has no form in JSON")
		}
	}
	leaf, err := json.Marshal(value)
	return append(text, leaf...), err
}

// separated adds a comma unless an object or a list has just begun.
func separated(text []byte) []byte {
	if last := text[len(text)-1]; last == '{' || last == '[' {
		return text
	}
	return append(text, ',')
}

func writeBinary(m mapping) ([]byte, error) {
	for _, one := range m {
		if one.note == nil && one.key == "data" {
			if text, ok := one.value.(string); ok {
				return []byte(text), nil
			}
		}
	}
	return nil, errors.New("it was not encrypted as binary; give it a key that ends with .yaml, .json, .env or .ini, " +
		"or encrypt it with `sops --input-type binary`")
}

func readDotenv(text []byte) ([]mapping, error) {
	m := mapping{}
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" {
			continue
		}
		if comment, ok := strings.CutPrefix(line, "#"); ok {
			m = append(m, member{note: &note{text: comment}})
			continue
		}
		key, value, found := strings.Cut(line, "=")
		if !found {
			return nil, fmt.Errorf("line %d is not of the form key=value", i+1)
		}
		m = append(m, member{key: key, value: strings.ReplaceAll(value, `\n`, "\n")})
	}
	return []mapping{m}, nil
}

func writeDotenv(m mapping) ([]byte, error) {
	var text strings.Builder
	for _, one := range m {
		if one.note != nil {
			fmt.Fprintf(&text, "#%s\n", one.note.text)
			continue
		}
		value, err := flatText(one)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&text, "%s=%s\n", one.key, strings.ReplaceAll(value, "\n", `\n`))
	}
	return []byte(text.String()), nil
}

// flatText is a value where there is only text.
func flatText(one member) (string, error) {
	switch value := one.value.(type) {
	case string:
		return value, nil
	case mapping, sequence:
		return "", fmt.Errorf("%s is nested, and the format knows no nesting", one.key)
	case float64:
		text := strconv.FormatFloat(value, 'G', -1, 64)
		if !strings.ContainsAny(text, ".E") {
			text = strconv.FormatFloat(value, 'f', 1, 64)
		}
		return text, nil
	case time.Time:
		return value.Format(time.RFC3339), nil
	default:
		return fmt.Sprint(value), nil
	}
}

// takePrefixed removes the keys that begin with sops_ from the only part and returns what they say.
func takePrefixed(parts []mapping) (map[string]any, error) {
	flat, kept := map[string]string{}, mapping{}
	for _, one := range parts[0] {
		name, found := strings.CutPrefix(one.key, metadataKey+"_")
		if one.note != nil || !found {
			kept = append(kept, one)
			continue
		}
		flat[name], _ = one.value.(string)
	}
	if len(flat) == 0 {
		return nil, errors.New("it has no sops_ keys")
	}
	parts[0] = kept
	return unflatten(flat)
}
