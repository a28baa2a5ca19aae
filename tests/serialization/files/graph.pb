
8
PlaceholderPlaceholder*
dtype0*
shape:
!
outReluPlaceholder*
T0"ª