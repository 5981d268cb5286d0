package promptflow

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"os"
	"path/filepath"

	v1 "github.com/promptflow-grpc/promptflow-go/promptflow_api/v1"
)

// File is a file: its bytes, or where they are. Exactly one of Content, FileID and URI is set in those that a server
// gives; FileFrom and FileReader make ones that are read when the call is made.
type File struct {
	// Content is not nil where the bytes are here; an empty file has an empty one.
	Content     []byte
	FileID      string
	URI         string
	ContentType string
	Name        string

	open func() (io.ReadCloser, error)
}

// FileFrom is the file at a path; its content type is guessed by its name.
func FileFrom(path string) *File {
	name := filepath.Base(path)
	return &File{
		Name:        name,
		ContentType: mime.TypeByExtension(filepath.Ext(name)),
		open:        func() (io.ReadCloser, error) { return os.Open(path) },
	}
}

// FileBytes is a file of these bytes. The name may be "".
func FileBytes(content []byte, name string) *File {
	if content == nil {
		content = []byte{}
	}
	return &File{Content: content, Name: name, ContentType: mime.TypeByExtension(filepath.Ext(name))}
}

// FileReader is a file whose bytes come from a reader. It can be read once, and so be the input of one call; who opened
// the reader closes it. The name may be "".
func FileReader(content io.Reader, name string) *File {
	isRead := false
	return &File{
		Name:        name,
		ContentType: mime.TypeByExtension(filepath.Ext(name)),
		open: func() (io.ReadCloser, error) {
			if isRead {
				return nil, errors.New("its reader was read to the end by an earlier call; make a new FileReader")
			}
			isRead = true
			return io.NopCloser(content), nil
		},
	}
}

// load puts the file into its message.
func (f *File) load(message *v1.File) error {
	message.Name, message.ContentType = f.Name, f.ContentType
	if message.ContentType == "" {
		message.ContentType = mime.TypeByExtension(filepath.Ext(f.Name))
	}
	switch {
	case f.open != nil:
		content, err := f.read()
		if err != nil {
			return err
		}
		message.Source = &v1.File_Content{Content: content}
	case f.Content != nil:
		message.Source = &v1.File_Content{Content: f.Content}
	case f.FileID != "":
		message.Source = &v1.File_FileId{FileId: f.FileID}
	case f.URI != "":
		message.Source = &v1.File_Uri{Uri: f.URI}
	}
	return nil
}

func (f *File) read() ([]byte, error) {
	reader, err := f.open()
	if err != nil {
		return nil, fmt.Errorf("promptflow: a file cannot be read: %w", err)
	}
	content, err := io.ReadAll(reader)
	if closing := reader.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, fmt.Errorf("promptflow: a file cannot be read: %w", err)
	}
	return content, nil
}

func fileOf(message *v1.File) *File {
	file := &File{
		FileID:      message.GetFileId(),
		URI:         message.GetUri(),
		ContentType: message.GetContentType(),
		Name:        message.GetName(),
	}
	if source, ok := message.GetSource().(*v1.File_Content); ok {
		if file.Content = source.Content; file.Content == nil {
			file.Content = []byte{}
		}
	}
	return file
}
