//! Every limit of the sandbox, each with its reason. What an operator may raise is in
//! [`crate::RuntimeConfig`] or in the grants of a call ([`host_logical::CallLimits`]).

use std::time::Duration;

pub(crate) const KIB: usize = 1024;
pub(crate) const MIB: usize = 1024 * KIB;

// ---- Components

/// The largest seen in six toolchains is 18.5 MB (Python); compiling one of that size takes 570 MB.
pub(crate) const COMPONENT_BYTES: usize = 32 * MIB;
/// Modules and components inside one, at any depth: an interpreter's has about 40. A million that nest
/// fit into 13 MB, and take the compiler more memory than there is.
pub(crate) const COMPONENT_PARTS: usize = 256;
/// Compilations at a time: each takes every core and, for a large component, half a gigabyte.
pub(crate) const COMPILATIONS: usize = 1;
/// An interpreter's component needs about 40 core instances.
pub(crate) const CORE_INSTANCES_PER_COMPONENT: u32 = 64;
/// One for most toolchains, two for those that compose an engine with their interpreter.
pub(crate) const MEMORIES_PER_COMPONENT: u32 = 4;
/// As `CORE_INSTANCES_PER_COMPONENT`: some modules of an interpreter bring a table of their own.
pub(crate) const TABLES_PER_COMPONENT: u32 = 16;
/// C# debug builds were seen with more than 10,000.
pub(crate) const TABLE_ELEMENTS: usize = 100_000;
/// An interpreter's modules have thousands of functions and types; wasmtime's 1 MiB is short for them.
pub(crate) const INSTANCE_BYTES: usize = 4 * MIB;
/// Python's heap image is sparse and over 12 MiB; below this it is mapped copy-on-write, above it is
/// copied at every call.
pub(crate) const DENSE_IMAGE_BYTES: u64 = 64 * MIB as u64;

// ---- The pool of one plugin

/// Instances of one plugin at a time, over all its mounts; fewer where each has several memories. A
/// memory reserves 4 GiB of address space, so that no pointer leaves it: 0.5 TiB of 128 for a plugin.
pub(crate) const INSTANCES_PER_PLUGIN: u32 = 128;
/// Slots that stay mapped when idle; beyond these the least recently used is taken over.
pub(crate) const WARM_SLOTS: u32 = 16;
/// How much of a memory is wiped by writing zeros over it; the rest is given back to the system.
/// At least the memory of a small engine: giving pages back takes the lock of the whole process's
/// address space, which halves throughput on two cores.
pub(crate) const MEMORY_KEEP_RESIDENT: usize = 2 * MIB;
/// As above, for tables: those of a small engine whole.
pub(crate) const TABLE_KEEP_RESIDENT: usize = 64 * KIB;
/// As above, for the stack that host functions run on too: four times what a KV read touches of it, so
/// that there is nothing to give back beyond. Pages that were touched interrupt the other processors as
/// they go, and are missed by the next call.
pub(crate) const STACK_KEEP_RESIDENT: usize = 64 * KIB;

// ---- One call

/// No grant goes above. `memory.copy` is not interrupted: over 256 MiB it takes tens of milliseconds.
pub(crate) const MEMORY_BYTES: usize = 256 * MIB;
/// What the guest's native frames may take of `ASYNC_STACK_BYTES`.
pub(crate) const WASM_STACK_BYTES: usize = 512 * KIB;
/// The guest's frames and, on top, those of the host functions that it calls: 1.5 MiB for these.
pub(crate) const ASYNC_STACK_BYTES: usize = 2 * MIB;
/// How often a guest is looked at while it computes, and the longest it holds a worker thread.
pub(crate) const EPOCH_TICK: Duration = Duration::from_millis(10);
/// What a guest may hand to the host in one crossing. A reply of 16 MiB with its lists and texts has
/// to pass; without this the host would copy 128 MiB before it can refuse (CVE-2026-27204).
pub(crate) const HOSTCALL_FUEL: usize = 32 * MIB;
/// Calls to the host in one call: ten thousand keys listed, read and written, and room.
pub(crate) const HOST_CALLS: u32 = 65_536;
/// Handles that a guest may hold at a time, on either side (CVE-2026-119134).
pub(crate) const HANDLES: usize = 512;
/// Plaintext in custody of one call, all secrets together: a CA bundle of any size, not a hoard.
pub(crate) const CUSTODY_BYTES: usize = 16 * MIB;
/// One secret: certificates with their key are some tens of KiB.
pub(crate) const SECRET_BYTES: usize = MIB;
/// `ambient.random`, as the WIT says.
pub(crate) const RANDOM_BYTES: u32 = 4096;
/// `wasi:random`: languages fill a whole buffer in one call.
pub(crate) const WASI_RANDOM_BYTES: u64 = 64 * KIB as u64;
/// How long a call waits for room before it is told to come back: longer than a usual call, shorter
/// than a client's patience. [`crate::RuntimeConfig`] may change it.
pub(crate) const ROOM_WAIT: Duration = Duration::from_secs(5);
/// What `Busy` tells the client to wait, in seconds.
pub(crate) const RETRY_AFTER: u64 = 1;

// ---- What a guest prints

/// The end of what a guest wrote to its stdout and stderr: a panic message with its backtrace.
pub(crate) const OUTPUT_TAIL_BYTES: usize = 4 * KIB;
/// Log lines of one call; what is beyond them is counted, not written.
pub(crate) const LOG_LINES: u32 = 256;
/// One log message; it is cut, not refused.
pub(crate) const LOG_MESSAGE_BYTES: usize = 4 * KIB;
/// Fields of one log line; further ones are left out.
pub(crate) const LOG_FIELDS: usize = 16;
/// The name or value of one field; it is cut.
pub(crate) const LOG_FIELD_BYTES: usize = 512;

// ---- What a guest answers

/// All of a request's data: twice the largest value in storage. An engine's memory holds it a few
/// times while it is taken apart; what is larger is refused before that memory is full.
pub(crate) const REQUEST_BYTES: usize = 16 * MIB;
/// All of an answer: twice the largest value in storage.
pub(crate) const REPLY_BYTES: usize = 16 * MIB;
/// Nesting of JSON in an answer: parsers in the host and in most clients stop at 128.
pub(crate) const JSON_DEPTH: usize = 100;
/// Items of any list in an answer: policies, metadata, headers.
pub(crate) const REPLY_ITEMS: usize = 1024;
/// Warnings of one answer.
pub(crate) const WARNINGS: usize = 32;
/// One warning.
pub(crate) const WARNING_BYTES: usize = 4 * KIB;
/// Headers of one answer, before the mount's list lets any through.
pub(crate) const HEADERS: usize = 32;
/// One header with its name: what HTTP servers and proxies commonly take.
pub(crate) const HEADER_BYTES: usize = 8 * KIB;
/// What a lease or login keeps for the engine; it is sealed into a record of its own.
pub(crate) const INTERNAL_BYTES: usize = 512 * KIB;
/// The text of a refusal; it is cut.
pub(crate) const REFUSAL_BYTES: usize = 8 * KIB;

// ---- What an engine says of itself

/// Time to describe, start-up of an interpreter included.
pub(crate) const DESCRIBE_WALL: Duration = Duration::from_secs(20);
/// As above, computing.
pub(crate) const DESCRIBE_COMPUTE: Duration = Duration::from_secs(10);
/// Descriptions kept for each plugin, one for each set of options in use.
pub(crate) const DESCRIPTIONS: usize = 64;
/// Paths of one engine; Vault's largest has about 150.
pub(crate) const PATHS: usize = 1024;
/// Fields of one path or answer; Vault's largest has about 60.
pub(crate) const FIELDS: usize = 256;
/// Values that one field allows.
pub(crate) const ALLOWED: usize = 256;
/// A pattern or a name.
pub(crate) const NAME_BYTES: usize = 256;
/// One help text.
pub(crate) const HELP_BYTES: usize = 16 * KIB;
/// The whole description: it is in memory for each set of options, and sent as OpenAPI.
pub(crate) const DESCRIPTION_BYTES: usize = 2 * MIB;
