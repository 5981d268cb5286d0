"""From flow files to everything that is generated from them. Only `write` and `write_packages` change files; nothing
here opens a socket.

source           YAML text as a tree with places        tree           the parts of the tree
read, read_keys  the tree as a flow                     nodes          the parts of a flow, as its file spells it
check/           what is wrong in a flow                checked        a flow that holds together
build(_fields)   a checked flow as an API               model          messages, fields, enums, a service
rules            constraints as protovalidate options   patterns       patterns tried on RE2
numbering        numbers from the lock, or new ones     lock           what the lock remembers
compat           changes that are refused               lock_file      the lock as text
lower            a checked flow as a plan               plan           what the engine runs
emit/            from the model to text                 compile        protoc: descriptors and Python modules
template_syntax  templates parsed, what they read       template_sandbox, template_filters   what they may do
bundle           descriptors and plans by digest        naming         names of messages, paths and values
project          where things lie in a project          diagnostics    mistakes in files, with places and hints
generate         all of it, in memory                   write          onto disk, all or nothing; drift
languages/       client packages of a user's flows     write_packages  the same for them
"""
