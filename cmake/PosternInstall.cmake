# install() and the CMake package.
