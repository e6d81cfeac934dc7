// Package faults makes the world fail around what is tested: disks that are full, that
// lose their power or answer with errors, NATS servers that are killed. Tests alone
// import it.
package faults
