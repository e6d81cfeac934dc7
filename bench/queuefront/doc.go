// Command queuefront measures what weir's queue of asynchronous calls takes, beside
// Redis and PostgreSQL behind the same HTTP front, and how weir stands with a million
// calls waiting. It is a module of its own, since the clients of the other two are no
// part of weir.
//
// The front is weir's own data path: its HTTP engine, its rules, its accounts. What is
// stored for a call is the same, byte for byte. For Redis it is pushed to a list with
// LPUSH (appendfsync always), for PostgreSQL inserted into a table (synchronous_commit
// on); concurrent LPUSHes share pipelines, INSERTs a pool of connections with prepared
// statements, both over Unix sockets. weir's own figure is that of the binary, with its
// function held back, so that nothing is dispatched meanwhile.
//
// A store must hold as many calls afterwards as were answered with 202, or the
// measurement is invalid. It needs Linux, wrk, redis-server and PostgreSQL: see
// make bench-queue and make backlog.
package main
