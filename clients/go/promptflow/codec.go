package promptflow

import "fmt"

// rawCodec hands bytes through. gRPC would report an answer that cannot be parsed as it reports a cut, and a cut is
// tried again.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(value any) ([]byte, error) {
	data, ok := value.([]byte)
	if !ok {
		return nil, fmt.Errorf("%T is no encoded message", value)
	}
	return data, nil
}

func (rawCodec) Unmarshal(data []byte, value any) error {
	target, ok := value.(*[]byte)
	if !ok {
		return fmt.Errorf("%T takes no encoded message", value)
	}
	// The buffer is gRPC's own and used again after this call.
	*target = append([]byte(nil), data...)
	return nil
}
