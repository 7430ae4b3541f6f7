module clouder.dev/page-writer

go 1.24
