// Package inject puts weir beside a function that already runs in Kubernetes.
//
// What is to change is decided on the pod template's API type, as operations of
// RFC 6902. The webhook sends them as they are. Files are changed as text: lines
// are put in or replaced at the places that the YAML tree names, between marks
// that keep what was there, so that everything else stays as it was written and
// Strip gives back the input byte for byte.
//
// No text is given out unless it has been read again: it must decode strictly into
// the API's types, hold exactly the operations' effect, and strip to its origin.
package inject
