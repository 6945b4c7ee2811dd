path <<A
x
A
{}
path "y" {
  comment = <<-EOT
    two
    lines
  EOT
  capabilities = ["read"]
}
