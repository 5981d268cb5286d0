"""From flow files to everything that is generated from them. Only `write` and `write_packages` change files, only
`plugins` and `compile` start programs; nothing here opens a socket.

source           YAML text as a tree with places        tree           the parts of the tree
read, read_steps, read_keys   the tree as a flow        nodes          the parts of a flow, as its file spells it
check/           what is wrong in a flow                checked        a flow that holds together
build, build_fields   a checked flow as an API          model          messages, fields, enums, a service
presence         what of a result is always there       proto_types    scalar types as both languages spell them
rules            constraints as protovalidate options   patterns       patterns tried on RE2
numbering        numbers from the lock, or new ones     lock           what the lock remembers
lock_file, lock_printed   the lock as text              lock_merge     a lock that git left with conflict marks
compat           changes that are refused               removal        flows that no file declares any more
lower            a checked flow as a plan               plan           what the engine runs
emit/            from the model to text                 compile        protoc: descriptors and Python modules
descriptors      descriptor sets, read                  plugins        plugins of protoc, run
template_syntax  templates parsed, what they read       template_sandbox, template_filters   what they may do
bundle           descriptors, plans and documents by digest   pack     a bundle as bytes, to be sent
naming           names of messages, paths and values    project        where things lie in a project
diagnostics      mistakes in files, with places and hints   diagnostics_formats   as text, JSON, for GitHub, as SARIF
generate         all of it, in memory                   reuse          what an earlier run made already
write            onto disk, all or nothing; drift       write_packages the same for client packages
writers          one at a time, and what killed ones left
languages/       client packages of a user's flows      evolution/     what an edit means to callers
"""
