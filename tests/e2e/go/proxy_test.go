package main

import (
	"net"
	"sync"
	"testing"
)

// proxy forwards connections until they are cut.
type proxy struct {
	listener net.Listener
	target   string
	mutex    sync.Mutex
	open     []net.Conn
	count    int
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	made := &proxy{listener: listener, target: target}
	t.Cleanup(func() { _ = listener.Close(); made.cut() })
	go made.serve()
	return made
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) cuts() int {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.count
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mutex.Lock()
		p.open = append(p.open, client, server)
		p.mutex.Unlock()
		go forward(client, server)
		go forward(server, client)
	}
}

func (p *proxy) cut() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, connection := range p.open {
		_ = connection.Close()
	}
	p.count += len(p.open) / 2
	p.open = nil
}

func forward(from, to net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		count, err := from.Read(buffer)
		if count > 0 {
			if _, err := to.Write(buffer[:count]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
