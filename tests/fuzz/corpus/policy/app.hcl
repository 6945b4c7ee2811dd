# What the app may do.
path "secret/data/api-keys/*" {
  capabilities = ["read"]
}
path "secret/data/ops" { capabilities = ["deny"] }
path "secret/+/config" { capabilities = ["list", "read"] }
path "+/data/*" { capabilities = ["create", "update"] }
