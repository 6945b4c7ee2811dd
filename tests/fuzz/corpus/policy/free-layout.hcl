"path" "a/*" { "capabilities" = ["read",], comment = "x" } path "b" { policy = "read" }
path = { "c" = { capabilities = ["list"] } } // the rest
/* of it */ path "d"
{ capabilities = [
"read", "list" ] }
