//! Guests as WebAssembly text: the body of `handle`, and what it needs around it. Hostile ones say
//! what no compiler would.
//!
//! Where fields lie in memory is computed from the WIT, so that a text says `{reply.data}` and
//! not a number. A reply of zeros is an empty answer, so a body writes only what it is about.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, SizeAlign, Type, TypeDefKind};

/// Where a guest keeps its reply, its description, its texts, and what it allocates.
const REPLY: usize = 1024;
const DESCRIPTION: usize = 2048;
/// The one path, within the description.
const PATH: usize = 128;
const TEXTS: usize = 4096;
const HEAP: usize = 65_536;

const WORLD: &str = r#"
    package test:guest;
    world guest {
        import coffer:engine/ambient@0.1.0;
        import coffer:engine/storage@0.1.0;
        import coffer:engine/secrets@0.1.0;
        import coffer:engine/log@0.1.0;
        export coffer:engine/metadata@0.1.0;
        export coffer:engine/backend@0.1.0;
    }
"#;

/// All that a body may call.
const IMPORTS: &str = r#"
    (import "coffer:engine/ambient@0.1.0" "now" (func $now (result i64)))
    (import "coffer:engine/ambient@0.1.0" "sleep" (func $sleep (param i32)))
    (import "coffer:engine/ambient@0.1.0" "random" (func $random (param i32 i32)))
    (import "coffer:engine/storage@0.1.0" "get" (func $get (param i32 i32 i32)))
    (import "coffer:engine/storage@0.1.0" "get-many" (func $get-many (param i32 i32 i32)))
    (import "coffer:engine/storage@0.1.0" "put" (func $put (param i32 i32 i32 i32 i32)))
    (import "coffer:engine/storage@0.1.0" "delete" (func $delete (param i32 i32 i32)))
    (import "coffer:engine/storage@0.1.0" "list-keys" (func $list-keys (param i32 i32 i32 i32 i32 i32 i32)))
    (import "coffer:engine/secrets@0.1.0" "from-bytes" (func $from-bytes (param i32 i32) (result i32)))
    (import "coffer:engine/secrets@0.1.0" "[method]secret.length" (func $length (param i32) (result i32)))
    (import "coffer:engine/secrets@0.1.0" "[resource-drop]secret" (func $drop-secret (param i32)))
    (import "coffer:engine/secrets@0.1.0" "concat" (func $concat (param i32 i32) (result i32)))
    (import "coffer:engine/secrets@0.1.0" "encode" (func $encode (param i32 i32 i32 i32)))
    (import "coffer:engine/log@0.1.0" "log" (func $log (param i32 i32 i32 i32 i32)))
"#;

const WASI_IMPORTS: &str = r#"
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
"#;

/// A component that answers with the body it is given.
pub(crate) struct Guest {
    handle: String,
    memory: String,
    heap: usize,
    realloc: String,
    encoding: StringEncoding,
    exists: String,
    describe: String,
    functions: String,
    texts: Vec<u8>,
    texts_named: usize,
    wasi: bool,
}

impl Guest {
    /// `handle` is what `backend.handle` does, with the request's address in `$request`. It falls
    /// off its end to answer what is at `{reply}`.
    pub(crate) fn new(handle: &str) -> Self {
        Self {
            handle: handle.to_owned(),
            memory: "4".to_owned(),
            heap: HEAP,
            realloc: String::new(),
            encoding: StringEncoding::UTF8,
            exists: String::new(),
            describe: String::new(),
            functions: String::new(),
            texts: Vec::new(),
            texts_named: 0,
            wasi: false,
        }
    }

    /// Writes a list into the reply's field of this name: where in the guest's memory it is, and how
    /// many.
    pub(crate) fn reply_list(field: &str, address: &str, count: &str) -> String {
        format!(
            "(i32.store (i32.const {{reply.{field}}}) (i32.const {address}))
             (i32.store offset=4 (i32.const {{reply.{field}}}) (i32.const {count}))"
        )
    }

    /// What `backend.exists` does first; it answers what is at `{reply}`.
    pub(crate) fn exists(mut self, body: &str) -> Self {
        self.exists = body.to_owned();
        self
    }

    /// What `metadata.describe` does first. `{pattern}` is where the pattern of its path is told.
    pub(crate) fn describe(mut self, body: &str) -> Self {
        self.describe = body.to_owned();
        self
    }

    /// Its memory, in place of four pages: `100`, or `1 2` with a maximum.
    pub(crate) fn memory(mut self, limits: &str) -> Self {
        self.memory = limits.to_owned();
        self
    }

    /// Where what it allocates begins, if its texts need more room; its memory is two pages larger.
    pub(crate) fn heap(mut self, address: usize) -> Self {
        self.heap = address;
        self.memory = (address / 65_536 + 2).to_string();
        self
    }

    /// What `cabi_realloc` does first, with `$old`, `$old_size`, `$align` and `$size` at hand.
    pub(crate) fn realloc(mut self, body: &str) -> Self {
        self.realloc = body.to_owned();
        self
    }

    /// How its texts are encoded.
    pub(crate) fn encoding(mut self, encoding: StringEncoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// More functions, and whatever else a module may have.
    pub(crate) fn functions(mut self, text: &str) -> Self {
        self.functions = text.to_owned();
        self
    }

    /// A text in the guest's memory: `{text.0}` and `{text.0.len}` are where and how long.
    pub(crate) fn text(mut self, bytes: &[u8]) -> Self {
        let index = self.texts_named;
        self.texts_named += 1;
        let address = TEXTS + self.texts.len();
        for part in [
            &mut self.handle,
            &mut self.exists,
            &mut self.describe,
            &mut self.functions,
        ] {
            *part = part
                .replace(&format!("{{text.{index}}}"), &address.to_string())
                .replace(&format!("{{text.{index}.len}}"), &bytes.len().to_string());
        }
        self.texts.extend_from_slice(bytes);
        self
    }

    /// Links the module against WASI, as Go and others do.
    pub(crate) fn on_wasi(mut self) -> Self {
        self.wasi = true;
        self
    }

    pub(crate) fn component(&self) -> Vec<u8> {
        self.component_of(self.core_module())
    }

    /// The module alone, without what makes a component of it.
    pub(crate) fn core_module(&self) -> Vec<u8> {
        wat::parse_str(self.module(&Layout::new())).expect("the guest is valid text")
    }

    /// A component of another module with the same imports and exports.
    pub(crate) fn component_of(&self, mut module: Vec<u8>) -> Vec<u8> {
        let layout = Layout::new();
        embed_component_metadata(&mut module, &layout.resolve, layout.world, self.encoding)
            .expect("the world is embedded");
        let mut encoder = ComponentEncoder::default();
        if self.wasi {
            encoder = encoder
                .adapter(
                    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
                )
                .expect("the adapter is one");
        }
        // Not validated: some have what only the host may refuse.
        encoder
            .module(&module)
            .and_then(|encoder| encoder.validate(false).encode())
            .expect("the module makes a component")
    }

    fn module(&self, layout: &Layout) -> String {
        let fill = |text: &str| {
            let mut text = text.replace("{reply}", &REPLY.to_string());
            for (name, offset) in layout.fields("backend", "response") {
                let address = REPLY + layout.reply_offset + offset;
                text = text.replace(&format!("{{reply.{name}}}"), &address.to_string());
            }
            for (field, record) in [("lease", "lease"), ("auth", "auth-grant")] {
                let option = layout.reply_field(field);
                let payload = option + layout.align(&layout.named("backend", record));
                for (name, offset) in layout.fields("backend", record) {
                    let address = (payload + offset).to_string();
                    text = text.replace(&format!("{{reply.{field}.{name}}}"), &address);
                }
            }
            let error = (REPLY + layout.reply_offset).to_string();
            let error_text = (REPLY + layout.reply_offset + layout.error_text_offset).to_string();
            let pattern = (DESCRIPTION + PATH + layout.offset("path", "pattern")).to_string();
            text = text.replace("{pattern}", &pattern);
            text = text.replace("{error}", &error);
            text = text.replace("{error.text}", &error_text);
            for (name, offset) in layout.fields("backend", "request") {
                text = text.replace(&format!("{{request.{name}}}"), &offset.to_string());
            }
            text
        };
        let (imports, handle) = (
            if self.wasi { WASI_IMPORTS } else { "" },
            fill(&self.handle),
        );
        let (exists, describe, functions) = (
            fill(&self.exists),
            fill(&self.describe),
            fill(&self.functions),
        );
        let (memory, heap, realloc) = (&self.memory, self.heap, fill(&self.realloc));
        let (description, texts) = (escape(&layout.description()), escape(&self.texts));
        format!(
            r#"(module
                {IMPORTS} {imports}
                (memory (export "memory") {memory})
                (global $next (mut i32) (i32.const {heap}))
                (data (i32.const {DESCRIPTION}) "{description}")
                (data (i32.const {TEXTS}) "{texts}")
                (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
                    (local $at i32)
                    {realloc}
                    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
                    (global.set $next (i32.add (local.get $at) (local.get $size)))
                    (local.get $at))
                (func (export "coffer:engine/metadata@0.1.0#describe") (param $options i32) (param $count i32) (result i32)
                    {describe}
                    (i32.const {DESCRIPTION}))
                (func (export "coffer:engine/backend@0.1.0#initialize")
                    (param i32 i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)
                    (i32.const {REPLY}))
                (func (export "coffer:engine/backend@0.1.0#exists") (param $request i32) (result i32)
                    {exists}
                    (i32.const {REPLY}))
                (func (export "coffer:engine/backend@0.1.0#handle") (param $request i32) (result i32)
                    (local $i i32) (local $j i32)
                    {handle}
                    (i32.const {REPLY}))
                {functions}
            )"#
        )
    }
}

/// Where the canonical ABI puts things, from the WIT itself.
struct Layout {
    resolve: Resolve,
    world: wit_parser::WorldId,
    sizes: SizeAlign,
    /// Of the answer within `result<response, error>`, and of the error.
    reply_offset: usize,
    /// Of the text within `error`.
    error_text_offset: usize,
}

impl Layout {
    fn new() -> Self {
        let mut resolve = Resolve::default();
        resolve
            .push_str("engine.wit", include_str!("../../../../wit/engine.wit"))
            .expect("the WIT parses");
        let package = resolve
            .push_str("guest.wit", WORLD)
            .expect("the world parses");
        let world = resolve.packages[package].worlds["guest"];
        let mut sizes = SizeAlign::default();
        sizes.fill(&resolve);
        let mut layout = Self {
            resolve,
            world,
            sizes,
            reply_offset: 0,
            error_text_offset: 0,
        };
        // The discriminant, then the answer at its own alignment; both have one with 64 bits in it.
        let response = layout.align(&layout.named("backend", "response"));
        let error = layout.align(&layout.named("types", "error"));
        assert_eq!(response, error);
        (layout.reply_offset, layout.error_text_offset) = (response, error);
        layout
    }

    fn named(&self, interface: &str, name: &str) -> Type {
        let id = self
            .resolve
            .interfaces
            .iter()
            .find(|(_, found)| found.name.as_deref() == Some(interface))
            .and_then(|(_, found)| found.types.get(name))
            .expect("the type is in the WIT");
        Type::Id(*id)
    }

    fn align(&self, of: &Type) -> usize {
        self.sizes.align(of).align_wasm32()
    }

    /// Where a field of the reply is.
    fn reply_field(&self, name: &str) -> usize {
        let fields = self.fields("backend", "response");
        let found = fields.into_iter().find(|(field, _)| field == name);
        REPLY + self.reply_offset + found.expect("the field is in the WIT").1
    }

    /// A record's fields and their offsets, the longest name first: no name is replaced in another.
    fn fields(&self, interface: &str, record: &str) -> Vec<(String, usize)> {
        let Type::Id(id) = self.named(interface, record) else {
            unreachable!("`named` gives ids");
        };
        let TypeDefKind::Record(record) = &self.resolve.types[id].kind else {
            panic!("{record} is a record");
        };
        let offsets = self
            .sizes
            .field_offsets(record.fields.iter().map(|field| &field.ty));
        let names = record.fields.iter().map(|field| field.name.clone());
        names
            .zip(offsets)
            .map(|(name, (offset, _))| (name, offset.size_wasm32()))
            .collect()
    }

    fn offset(&self, record: &str, field: &str) -> usize {
        let fields = self.fields("metadata", record);
        let found = fields.into_iter().find(|(name, _)| name == field);
        found.expect("the field is in the WIT").1
    }

    /// An engine `test` with one path that takes everything and may be read.
    fn description(&self) -> Vec<u8> {
        let mut memory = vec![0; 1024];
        let mut free = 512;
        let mut text = |memory: &mut Vec<u8>, at: usize, text: &str| {
            memory[free..free + text.len()].copy_from_slice(text.as_bytes());
            pointer(memory, at, free, text.len());
            free += text.len();
        };
        text(&mut memory, self.offset("description", "name"), "test");
        text(&mut memory, self.offset("description", "version"), "1.0.0");
        let operation = 256;
        pointer(&mut memory, self.offset("description", "paths"), PATH, 1);
        text(
            &mut memory,
            PATH + self.offset("path", "pattern"),
            "{path...}",
        );
        pointer(
            &mut memory,
            PATH + self.offset("path", "operations"),
            operation,
            1,
        );
        memory[operation + self.offset("operation-help", "operation")] = 1;
        memory
    }
}

/// A list or text: where, in the guest's memory, and how long.
fn pointer(memory: &mut [u8], at: usize, to: usize, length: usize) {
    let address = u32::try_from(DESCRIPTION + to).expect("fits");
    memory[at..at + 4].copy_from_slice(&address.to_le_bytes());
    let length = u32::try_from(length).expect("fits");
    memory[at + 4..at + 8].copy_from_slice(&length.to_le_bytes());
}

fn escape(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}
