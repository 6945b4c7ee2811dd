storage "redb" { path = "/var/lib/coffer" }
seal "static" {
  current_key = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2"
}
api_addr = "http://127.0.0.1:8200" /* for others */
