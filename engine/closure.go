package main

// Closure is all that a build saw of an artifact: path → what it found there. A render is valid for every artifact in
// which the same would be found again.
//
//	"-"        nothing
//	"f", "d"   a file or a directory, of which only the existence mattered
//	"h:<hex>"  a file with this SHA-256
//	"l:<hex>"  a directory with this SHA-256 over its listing
type Closure map[string]string

const (
	sawNothing = "-"
	sawFile    = "f"
	sawDir     = "d"
	readPrefix = "h:"
	listPrefix = "l:"
)

// probe records that the existence of a path mattered.
func (c Closure) probe(tree *Tree, name string) {
	if _, seen := c[name]; !seen {
		c[name] = presence(tree, name)
	}
}

// read records that the content of a file or the listing of a directory mattered.
func (c Closure) read(tree *Tree, name string) { c[name] = substance(tree, name) }

// Holds reports whether the artifact shows all that the closure saw.
func (c Closure) Holds(tree *Tree) bool {
	for name, saw := range c {
		now := presence(tree, name)
		if len(saw) > 1 {
			now = substance(tree, name)
		}
		if now != saw {
			return false
		}
	}
	return true
}

func presence(tree *Tree, name string) string {
	n, ok := tree.nodes[name]
	switch {
	case !ok:
		return sawNothing
	case n.dir:
		return sawDir
	default:
		return sawFile
	}
}

func substance(tree *Tree, name string) string {
	n, ok := tree.nodes[name]
	switch {
	case !ok:
		return sawNothing
	case n.dir:
		return listPrefix + n.digest()
	default:
		return readPrefix + n.digest()
	}
}
