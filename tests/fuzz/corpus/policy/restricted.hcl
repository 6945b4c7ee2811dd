path "prod/*" {
  capabilities = ["read"]
  control_group = { factor "ops" { identity { group_names = ["ops"] approvals = 2 } } }
  mfa_methods = ["totp"]
}
path "dev/*" { capabilities = ["read"] pagination_limit = 0 expiration = "" }
