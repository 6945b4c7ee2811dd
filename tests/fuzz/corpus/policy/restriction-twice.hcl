path "a" {
  mfa_methods { a = 1 }
  mfa_methods { a = 1 }
}
