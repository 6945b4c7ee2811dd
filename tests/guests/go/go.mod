// The bindings are generated into this module, under the name that they expect.
module wit_component

go 1.26

require go.bytecodealliance.org/pkg v0.2.1
