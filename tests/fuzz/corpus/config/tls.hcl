ui = true
disable_mlock = true
listener "tcp" {
  address = "[::]:8200"
  tls_cert_file = "/etc/coffer/tls.crt"
  tls_key_file = "/etc/coffer/tls.key"
  tls_min_version = "tls13"
  telemetry { unauthenticated_metrics_access = false }
}
listener "unix" { address = "/run/coffer.sock" socket_mode = "0660" }
storage "inmem" {}
max_lease_ttl = "8760h"
default_lease_ttl = 3600
log_format = "json"
