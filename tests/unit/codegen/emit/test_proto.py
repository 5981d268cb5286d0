"""Proto text: imports, order, comments."""

from __future__ import annotations

from promptflow_codegen.emit.proto import emit_proto
from promptflow_codegen.model import Enum, EnumValue, Field, Message, Method, ProtoFile, Service

METHOD = Method("Watch", "WatchRequest", "Event", "get", "/watch", is_streaming=True)


def emit(*messages: Message) -> str:
    return emit_proto(ProtoFile("x.proto", "a.v1", Service("S", (METHOD,), "Does.\nMore."), messages))


def test_only_what_is_used_is_imported() -> None:
    inner = Message("Inner", (Field("page", ".promptflow_api.v1.File", "repeated", 1),))
    fields = (
        Field("values", "map<string, .google.protobuf.Value>", number=1),
        Field("event", ".promptflow_api.v1.StepFailedEvent", number=2),
        Field("own", "Inner", number=3),
    )
    text = emit(Message("M", fields, (inner,)))
    assert [line.split('"')[1] for line in text.splitlines() if line.startswith("import")] == [
        "buf/validate/validate.proto",
        "google/api/annotations.proto",
        "google/protobuf/struct.proto",
        "promptflow_api/v1/events.proto",
        "promptflow_api/v1/files.proto",
    ]


def test_a_message_is_printed_with_everything_that_it_has() -> None:
    enum = Enum("Value", (EnumValue("b", 2), EnumValue("a", 1)), (3,), ("c",))
    message = Message(
        "M",
        (
            Field("text", "string", "optional", 1, options=("(.x) = 1", "(.y) = 2"), doc="What.\n\nAnd more. "),
            Field("one", "Kind", number=2, oneof="of", comment="first"),
            Field("two", "Kind", number=3, oneof="of"),
        ),
        (Message("Kind", (), enums=(enum,)),),
        doc="A message.",
        reserved_numbers=(4, 7),
        reserved_names=("old", "older"),
    )
    assert (
        emit(message)[emit(message).index("// Does.") :]
        == """// Does.
// More.
service S {
  rpc Watch(WatchRequest) returns (stream Event) {
    option (.google.api.http) = {get: "/watch"};
  }
}

// A message.
message M {
  reserved 4, 7;
  reserved "old", "older";

  message Kind {
    enum Value {
      reserved 3;
      reserved "c";
      VALUE_UNSPECIFIED = 0;
      a = 1;
      b = 2;
    }
  }

  // What.
  //
  // And more.
  optional string text = 1 [(.x) = 1, (.y) = 2];
  oneof of {
    Kind one = 2; // first
    Kind two = 3;
  }
}
"""
    )
