module clouder.dev/bundle/smoke

go 1.24
