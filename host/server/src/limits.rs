//! Every limit of the edge, with its reason.

use std::time::Duration;

/// The largest request body: Vault's own default, which its clients know.
pub(crate) const BODY_BYTES: usize = 32 * 1024 * 1024;

/// What all bodies being read or served may hold together, so that a crowd without tokens cannot
/// fill memory. Parsed, a body takes as much again.
pub(crate) const ALL_BODIES_BYTES: usize = 512 * 1024 * 1024;

/// The arrival of one body: Vault's own default for reading a request, 1 MiB/s for the largest.
/// Whoever sends slower than that only keeps a connection and memory from others.
pub(crate) const BODY_TIME: Duration = Duration::from_secs(30);

/// A body up to here is not counted: almost all are, and counting costs an atomic.
pub(crate) const UNCOUNTED_BODY_BYTES: usize = 64 * 1024;

/// How deep JSON may nest. Ours to say before the parser is asked, whose own limit is 128.
pub(crate) const JSON_DEPTH: usize = 100;

/// Values and keys in one body. Each costs up to about 150 bytes once parsed, so 200,000 of them
/// cost about what the largest body does. A batch of 20,000 items for transit fits.
pub(crate) const JSON_NODES: usize = 200_000;

/// Parameters in one query or form: no endpoint knows as many.
pub(crate) const QUERY_PARAMETERS: usize = 256;

/// The whole of a request, its body's arrival included: Vault's default.
pub(crate) const REQUEST_TIME: Duration = Duration::from_secs(90);

/// Seconds that a client is asked to wait where nothing better is known.
pub(crate) const RETRY_AFTER_SECONDS: u64 = 1;

/// From the accepted connection to the first whole request head: a slow sender of headers is cut
/// off here, and so is one who only connects.
pub(crate) const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// What a connection may be idle for when a newcomer finds no room: enough for a client that has
/// just connected, and for one that is between two requests.
pub(crate) const IDLE_IN_A_CROWD: Duration = Duration::from_secs(1);

/// How soon those who are idle are asked again to make room for a newcomer that waits. This doubles up to
/// [`IDLE_IN_A_CROWD`]: it wakes every connection.
pub(crate) const ROOM_PAUSE: Duration = Duration::from_millis(200);

/// A kept connection without a request. Longer than the 90 s after which Go's client closes its
/// own, so that the client is the one who knows. Headers that dribble in count as idle.
pub(crate) const IDLE: Duration = Duration::from_secs(120);

/// What a connection that was asked to end has for the rest of its last answer.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(5);

/// A TLS handshake.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);

/// Certificates that a client may show: a leaf, some intermediates, a root.
pub(crate) const CLIENT_CHAIN: usize = 8;

/// The head of one request, over HTTP/1. Ours need under 2 KiB; proxies add theirs.
pub(crate) const HEAD_BYTES: usize = 64 * 1024;

/// Header lines in one request.
pub(crate) const HEADERS: usize = 100;

/// The head of one request, over HTTP/2, uncompressed.
pub(crate) const HTTP2_HEAD_BYTES: u32 = 32 * 1024;

/// Requests at a time on one HTTP/2 connection.
pub(crate) const HTTP2_STREAMS: u32 = 128;

/// Streams that were reset before they were served: past it the connection ends, which is the
/// answer to a rapid reset (CVE-2023-44487).
pub(crate) const HTTP2_RESETS: usize = 32;

/// Streams reset for the peer's own errors: past it the connection ends (CVE-2025-8671).
pub(crate) const HTTP2_LOCAL_RESETS: usize = 128;

/// What is buffered for a stream whose reader is slow.
pub(crate) const HTTP2_SEND_BYTES: usize = 256 * 1024;

/// A ping on a quiet HTTP/2 connection, and how long its answer may take.
pub(crate) const HTTP2_PING: Duration = Duration::from_secs(60);
/// See [`HTTP2_PING`].
pub(crate) const HTTP2_PONG: Duration = Duration::from_secs(20);

/// Connections at a time. Over it those that are idle make room, and the kernel's queue holds who
/// finds none; nobody with a request in flight notices.
pub(crate) const CONNECTIONS: usize = 10_000;

/// Files that a server must be allowed to open: the store, the engines' cached code, event queues, listeners, and some clients.
pub(crate) const LEAST_FILES: u64 = 64;

/// File descriptors that connections leave alone: storage, audit, engines' own sockets.
pub(crate) const RESERVED_FILES: usize = 128;

/// The pause after `accept` failed for want of a descriptor or memory.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long requests in flight may take once the server stops. A supervisor's own patience is
/// usually 30 s to 90 s.
pub(crate) const STOPPING: Duration = Duration::from_secs(20);

/// A configuration file: real ones have a few KiB.
pub(crate) const CONFIG_BYTES: u64 = 1024 * 1024;

/// How deep a configuration in JSON may nest: each level is a call, and a scan of all below it.
/// Real ones need six. HCL's parser has a bound of its own.
pub(crate) const CONFIG_DEPTH: usize = 32;

/// The longest lease that can be configured, ten years: what is longer is a slip of the pen.
pub(crate) const LEASE_SECONDS: u64 = 10 * 366 * 24 * 3600;
