path "transit/keys/+" {
  capabilities = ["update"]
  allowed_parameters = {
    "type" = ["aes256-gcm96", "ed25519"]
    "*" = []
    "n" = [1, 2.50, -3, true, { a = [1] }]
  }
  denied_parameters = { exportable = [true] "derived" = [] }
  required_parameters = ["type", "Name"]
  min_wrapping_ttl = "90s"
  max_wrapping_ttl = 3600
}
