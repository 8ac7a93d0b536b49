package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
)

// longNumber finds integers that may not fit into 64 bits; it may also find some inside of strings.
var longNumber = regexp.MustCompile(`[:,\[]-?[0-9]{19,}`)

// boundNumbers writes integers beyond 64 bits as floats. Kubernetes reads them so, and most JSON readers cannot read
// them otherwise.
func boundNumbers(object []byte) ([]byte, error) {
	if !longNumber.Match(object) {
		return object, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(object))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	return json.Marshal(boundNumber(value))
}

func boundNumber(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, item := range value {
			value[key] = boundNumber(item)
		}
	case []any:
		for i, item := range value {
			value[i] = boundNumber(item)
		}
	case json.Number:
		if _, err := strconv.ParseInt(value.String(), 10, 64); err == nil {
			return value
		}
		if f, err := value.Float64(); err == nil {
			return json.Number(strconv.FormatFloat(f, 'e', -1, 64))
		}
	}
	return value
}
