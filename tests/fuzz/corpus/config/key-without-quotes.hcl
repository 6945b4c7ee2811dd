storage "inmem" {}
seal "static" {
  current_key = a5ec2e75ec2e7
}
