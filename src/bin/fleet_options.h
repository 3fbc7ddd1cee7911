#pragma once

// `noroshi fleet` and its subcommands: wiring, as in main.cpp.

#include <CLI/CLI.hpp>

namespace noroshi {

void add_fleet(CLI::App& app, int& exit_code);

}  // namespace noroshi
