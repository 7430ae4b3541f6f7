module clouder.dev/bundle/pause

go 1.24
