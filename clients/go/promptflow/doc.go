// Package promptflow is what every generated PromptFlow client stands on: typed runs of flows over gRPC.
//
// It knows no flow: messages are read and written by their descriptors, and a generated package adds the types. It
// never starts a run twice: every request carries an id, and only that is sent again.
//
//	conn        one connection to one address: headers, deadlines, calls tried again
//	options     how a connection is made, and how a run is started
//	client      one flow: run, start, stream, batches, plan, lists
//	handle      one run: its result, events, status, cancel
//	follow      the events of a run in one piece, however often the stream is cut
//	contract    what the messages of a flow mean
//	retry       how long a call is tried, and how long between
//	event       what happens in a run
//	execution   a run as it stands, and what a flow says of itself
//	list        lists that fetch page after page
//	encode      Go values into messages
//	decode      messages into Go values
//	json        JSON values and their message form
//	file        what may be given as a file
//	error       errors, made of gRPC statuses
//	codec       messages as bytes, so that an unreadable one is told from a cut
package promptflow
