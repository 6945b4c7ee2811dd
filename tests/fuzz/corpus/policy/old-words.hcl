path "secret/*" { policy = "write" }
path "sys/*" { policy = "sudo" }
path "secret/super" { policy = "deny" }
