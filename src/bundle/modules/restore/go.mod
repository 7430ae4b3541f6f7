module clouder.dev/bundle/restore

go 1.25
