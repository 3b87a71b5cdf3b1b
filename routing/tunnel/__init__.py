"""Build SSH tunnels hop by hop and open sockets through them, with no listening port anywhere."""
