//! Makes the component of `src/neighbour.rs`, of WebAssembly text as the runtime's tests make theirs.

#[path = "../host/runtime/tests/support/guest.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod guest;

use std::path::PathBuf;

/// Takes memory, a MiB at a time and every byte written, until there is no more; then computes for
/// some tenths of a second; then traps.
const HOSTILE: &str = "
    (block $full
        (loop $more
            (local.set $i (memory.grow (i32.const 16)))
            (br_if $full (i32.eq (local.get $i) (i32.const -1)))
            (memory.fill (i32.mul (local.get $i) (i32.const 65536)) (i32.const 165) (i32.const 1048576))
            (br $more)))
    (local.set $j (i32.const 300000000))
    (loop $burn
        (local.set $j (i32.sub (local.get $j) (i32.const 1)))
        (br_if $burn (local.get $j)))
    unreachable";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../host/runtime/tests/support/guest.rs");
    println!("cargo::rerun-if-changed=../wit");
    let out = std::env::var_os("OUT_DIR").expect("cargo sets it for build scripts");
    let component = guest::Guest::new(HOSTILE).component();
    std::fs::write(PathBuf::from(out).join("hostile.wasm"), component)
        .expect("OUT_DIR can be written");
}
