// passwd: reads a password from the terminal or stdin and prints its crypt(3) hash.
#pragma once

namespace postern::server {

int passwd();  // exit status

}  // namespace postern::server
