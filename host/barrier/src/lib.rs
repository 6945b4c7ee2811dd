//! Sealed, transactional storage: everything that touches key material or disk.
