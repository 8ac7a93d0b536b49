package main

import (
	"container/list"
	"sync"
)

// Store keeps the artifacts used last, by digest, up to a number of bytes.
type Store struct {
	limits Limits
	budget int64

	mu      sync.Mutex
	entries map[string]*list.Element
	recent  *list.List // of *stored, the most recent in front
	size    int64
}

type stored struct {
	digest string
	once   sync.Once
	tree   *Tree
	err    error
	size   int64
}

// entryOverhead is about what a node costs besides its content.
const entryOverhead = 256

// NewStore keeps trees of at most budget bytes together, and always the one used last.
func NewStore(limits Limits, budget int64) *Store {
	return &Store{limits: limits, budget: budget, entries: map[string]*list.Element{}, recent: list.New()}
}

// Load returns the artifact with this digest, from memory or else from the file. Concurrent calls read it once.
func (s *Store) Load(file, digest string) (*Tree, error) {
	element := s.touch(digest)
	entry := element.Value.(*stored)
	entry.once.Do(func() { entry.tree, entry.err = loadArtifact(file, digest, s.limits) })
	s.settle(element)
	return entry.tree, entry.err
}

func (s *Store) touch(digest string) *list.Element {
	s.mu.Lock()
	defer s.mu.Unlock()
	if element, ok := s.entries[digest]; ok {
		s.recent.MoveToFront(element)
		return element
	}
	element := s.recent.PushFront(&stored{digest: digest})
	s.entries[digest] = element
	return element
}

// settle accounts for a loaded tree, forgets a failed one and evicts the oldest.
func (s *Store) settle(element *list.Element) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry := element.Value.(*stored)
	if s.entries[entry.digest] != element {
		return
	}
	if entry.err != nil {
		s.drop(element)
		return
	}
	if entry.size == 0 {
		entry.size = entry.tree.size + int64(len(entry.tree.nodes))*entryOverhead
		s.size += entry.size
	}
	for s.size > s.budget && s.recent.Len() > 1 {
		s.drop(s.recent.Back())
	}
}

func (s *Store) drop(element *list.Element) {
	entry := s.recent.Remove(element).(*stored)
	delete(s.entries, entry.digest)
	s.size -= entry.size
}
