path "secret/data/{{identity.entity.id}}/*" { capabilities = ["create", "read"] }
path "secret/data/{{ identity.entity.aliases.auth_1.name }}" { capabilities = ["read"] }
name = "${not a template} %{nor this}"
