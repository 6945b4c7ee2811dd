# A Coffer server for one machine. The names are Vault's.

# Sealed storage: one file in this directory, which is made if it is not there.
storage "redb" {
  path = "/var/lib/coffer"
}

# Where clients connect. TLS is on unless it is turned off: give it a certificate and key,
# or keep it on loopback.
listener "tcp" {
  address     = "127.0.0.1:8200"
  tls_disable = true
  # tls_cert_file = "/etc/coffer/tls.crt"
  # tls_key_file  = "/etc/coffer/tls.key"
}

# A socket for programs on the same machine.
# listener "unix" {
#   address = "/run/coffer/coffer.sock"
# }

# With this the server unseals itself. Whoever has the key has the secrets: keep it elsewhere
# than the storage.
# seal "static" {
#   current_key = "file:///etc/coffer/unseal.key"   # 32 bytes, as hex or base64
# }

api_addr          = "http://127.0.0.1:8200"
default_lease_ttl = "768h"
max_lease_ttl     = "768h"
log_level         = "info"
