//! The small shared language of the host: requests, responses, engines, storage.
