//! What the imports of an engine need of cryptography: secret handles and their sealing.
