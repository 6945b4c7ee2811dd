//! The allocator of a component: the next bytes of a small arena, then the usual one.
//!
//! A call has an instance of its own, so what it leaves behind is gone with it. The arena is part of
//! the memory that an instance begins with: an ordinary call never grows its memory, for which the
//! host would make system calls that its other threads wait for. What does not fit goes to
//! the usual allocator, which also frees.

#![expect(
    unsafe_code,
    reason = "an allocator deals in addresses; it runs in the sandbox, on one thread"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};

/// Enough for a call with a few kilobytes of data, and little to zero for each call.
const BYTES: usize = 16 << 10;
/// No usual type asks for more.
const ALIGN: usize = 16;

#[global_allocator]
static ARENA: Arena = Arena {
    bytes: UnsafeCell::new([0; BYTES]),
    used: Cell::new(0),
};

#[repr(C, align(16))]
struct Arena {
    bytes: UnsafeCell<[u8; BYTES]>,
    used: Cell<usize>,
}

// SAFETY: a component has one thread.
unsafe impl Sync for Arena {}

impl Arena {
    fn start(&self) -> *mut u8 {
        self.bytes.get().cast()
    }

    /// Where in the arena `pointer` is, if it is.
    fn offset(&self, pointer: *mut u8) -> Option<usize> {
        let offset = pointer.addr().checked_sub(self.start().addr())?;
        (offset < BYTES).then_some(offset)
    }
}

// SAFETY: what is handed out begins at `used`, rounded up, and `used` moves behind it, so that no
// two allocations overlap; `used` moves back only to the begin of the last one when that is freed.
// The arena is aligned to `ALIGN`, and so is an offset that is a multiple of a smaller alignment.
// Pointers outside of the arena came from `System` and go there.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.used.get().next_multiple_of(layout.align());
        match start.checked_add(layout.size()) {
            Some(end) if end <= BYTES && layout.align() <= ALIGN => {
                self.used.set(end);
                unsafe { self.start().add(start) }
            }
            _ => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        match self.offset(pointer) {
            None => unsafe { System.dealloc(pointer, layout) },
            Some(start) if start + layout.size() == self.used.get() => self.used.set(start),
            Some(_) => {}
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(start) = self.offset(pointer) else {
            return unsafe { System.realloc(pointer, layout, size) };
        };
        // The last one grows and shrinks where it is.
        if start + layout.size() == self.used.get() && size <= BYTES - start {
            self.used.set(start + size);
            return pointer;
        }
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(pointer, layout.size().min(size));
                self.dealloc(pointer, layout);
            }
            moved
        }
    }
}
