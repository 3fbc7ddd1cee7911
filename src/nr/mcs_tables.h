#pragma once

// TS 38.214 tables 5.1.3.1-1, -2, -3, -4, 6.1.4.1-1, -2 (MCS) and 5.1.3.2-1 (transport block size).

#include "nr/mcs.h"

namespace noroshi::nr {

inline constexpr Mcs mcs_table_qam64[] = {
    {Modulation::qpsk, 1200},  {Modulation::qpsk, 1570},  {Modulation::qpsk, 1930},
    {Modulation::qpsk, 2510},  {Modulation::qpsk, 3080},  {Modulation::qpsk, 3790},
    {Modulation::qpsk, 4490},  {Modulation::qpsk, 5260},  {Modulation::qpsk, 6020},
    {Modulation::qpsk, 6790},  {Modulation::qam16, 3400}, {Modulation::qam16, 3780},
    {Modulation::qam16, 4340}, {Modulation::qam16, 4900}, {Modulation::qam16, 5530},
    {Modulation::qam16, 6160}, {Modulation::qam16, 6580}, {Modulation::qam64, 4380},
    {Modulation::qam64, 4660}, {Modulation::qam64, 5170}, {Modulation::qam64, 5670},
    {Modulation::qam64, 6160}, {Modulation::qam64, 6660}, {Modulation::qam64, 7190},
    {Modulation::qam64, 7720}, {Modulation::qam64, 8220}, {Modulation::qam64, 8730},
    {Modulation::qam64, 9100}, {Modulation::qam64, 9480},
};

inline constexpr Mcs mcs_table_qam256[] = {
    {Modulation::qpsk, 1200},   {Modulation::qpsk, 1930},   {Modulation::qpsk, 3080},
    {Modulation::qpsk, 4490},   {Modulation::qpsk, 6020},   {Modulation::qam16, 3780},
    {Modulation::qam16, 4340},  {Modulation::qam16, 4900},  {Modulation::qam16, 5530},
    {Modulation::qam16, 6160},  {Modulation::qam16, 6580},  {Modulation::qam64, 4660},
    {Modulation::qam64, 5170},  {Modulation::qam64, 5670},  {Modulation::qam64, 6160},
    {Modulation::qam64, 6660},  {Modulation::qam64, 7190},  {Modulation::qam64, 7720},
    {Modulation::qam64, 8220},  {Modulation::qam64, 8730},  {Modulation::qam256, 6825},
    {Modulation::qam256, 7110}, {Modulation::qam256, 7540}, {Modulation::qam256, 7970},
    {Modulation::qam256, 8410}, {Modulation::qam256, 8850}, {Modulation::qam256, 9165},
    {Modulation::qam256, 9480},
};

inline constexpr Mcs mcs_table_qam64_low_se[] = {
    {Modulation::qpsk, 300},   {Modulation::qpsk, 400},   {Modulation::qpsk, 500},
    {Modulation::qpsk, 640},   {Modulation::qpsk, 780},   {Modulation::qpsk, 990},
    {Modulation::qpsk, 1200},  {Modulation::qpsk, 1570},  {Modulation::qpsk, 1930},
    {Modulation::qpsk, 2510},  {Modulation::qpsk, 3080},  {Modulation::qpsk, 3790},
    {Modulation::qpsk, 4490},  {Modulation::qpsk, 5260},  {Modulation::qpsk, 6020},
    {Modulation::qam16, 3400}, {Modulation::qam16, 3780}, {Modulation::qam16, 4340},
    {Modulation::qam16, 4900}, {Modulation::qam16, 5530}, {Modulation::qam16, 6160},
    {Modulation::qam64, 4380}, {Modulation::qam64, 4660}, {Modulation::qam64, 5170},
    {Modulation::qam64, 5670}, {Modulation::qam64, 6160}, {Modulation::qam64, 6660},
    {Modulation::qam64, 7190}, {Modulation::qam64, 7720},
};

inline constexpr Mcs mcs_table_qam1024[] = {
    {Modulation::qpsk, 1200},    {Modulation::qpsk, 1930},    {Modulation::qpsk, 4490},
    {Modulation::qam16, 3780},   {Modulation::qam16, 4900},   {Modulation::qam16, 6160},
    {Modulation::qam64, 4660},   {Modulation::qam64, 5170},   {Modulation::qam64, 5670},
    {Modulation::qam64, 6160},   {Modulation::qam64, 6660},   {Modulation::qam64, 7190},
    {Modulation::qam64, 7720},   {Modulation::qam64, 8220},   {Modulation::qam64, 8730},
    {Modulation::qam256, 6825},  {Modulation::qam256, 7110},  {Modulation::qam256, 7540},
    {Modulation::qam256, 7970},  {Modulation::qam256, 8410},  {Modulation::qam256, 8850},
    {Modulation::qam256, 9165},  {Modulation::qam256, 9480},  {Modulation::qam1024, 8055},
    {Modulation::qam1024, 8530}, {Modulation::qam1024, 9005}, {Modulation::qam1024, 9480},
};

inline constexpr Mcs mcs_table_tp_qam64[] = {
    {Modulation::qpsk, 1200},  {Modulation::qpsk, 1570},  {Modulation::qpsk, 1930},
    {Modulation::qpsk, 2510},  {Modulation::qpsk, 3080},  {Modulation::qpsk, 3790},
    {Modulation::qpsk, 4490},  {Modulation::qpsk, 5260},  {Modulation::qpsk, 6020},
    {Modulation::qpsk, 6790},  {Modulation::qam16, 3400}, {Modulation::qam16, 3780},
    {Modulation::qam16, 4340}, {Modulation::qam16, 4900}, {Modulation::qam16, 5530},
    {Modulation::qam16, 6160}, {Modulation::qam16, 6580}, {Modulation::qam64, 4660},
    {Modulation::qam64, 5170}, {Modulation::qam64, 5670}, {Modulation::qam64, 6160},
    {Modulation::qam64, 6660}, {Modulation::qam64, 7190}, {Modulation::qam64, 7720},
    {Modulation::qam64, 8220}, {Modulation::qam64, 8730}, {Modulation::qam64, 9100},
    {Modulation::qam64, 9480},
};

inline constexpr Mcs mcs_table_tp_qam64_low_se[] = {
    {Modulation::qpsk, 300},   {Modulation::qpsk, 400},   {Modulation::qpsk, 500},
    {Modulation::qpsk, 640},   {Modulation::qpsk, 780},   {Modulation::qpsk, 990},
    {Modulation::qpsk, 1200},  {Modulation::qpsk, 1570},  {Modulation::qpsk, 1930},
    {Modulation::qpsk, 2510},  {Modulation::qpsk, 3080},  {Modulation::qpsk, 3790},
    {Modulation::qpsk, 4490},  {Modulation::qpsk, 5260},  {Modulation::qpsk, 6020},
    {Modulation::qpsk, 6790},  {Modulation::qam16, 3780}, {Modulation::qam16, 4340},
    {Modulation::qam16, 4900}, {Modulation::qam16, 5530}, {Modulation::qam16, 6160},
    {Modulation::qam16, 6580}, {Modulation::qam16, 6990}, {Modulation::qam16, 7720},
    {Modulation::qam64, 5670}, {Modulation::qam64, 6160}, {Modulation::qam64, 6660},
    {Modulation::qam64, 7720},
};

inline constexpr Mcs mcs_table_tp_qam64_pi2_bpsk[] = {
    {Modulation::pi2_bpsk, 2400}, {Modulation::pi2_bpsk, 3140}, {Modulation::qpsk, 1930},
    {Modulation::qpsk, 2510},     {Modulation::qpsk, 3080},     {Modulation::qpsk, 3790},
    {Modulation::qpsk, 4490},     {Modulation::qpsk, 5260},     {Modulation::qpsk, 6020},
    {Modulation::qpsk, 6790},     {Modulation::qam16, 3400},    {Modulation::qam16, 3780},
    {Modulation::qam16, 4340},    {Modulation::qam16, 4900},    {Modulation::qam16, 5530},
    {Modulation::qam16, 6160},    {Modulation::qam16, 6580},    {Modulation::qam64, 4660},
    {Modulation::qam64, 5170},    {Modulation::qam64, 5670},    {Modulation::qam64, 6160},
    {Modulation::qam64, 6660},    {Modulation::qam64, 7190},    {Modulation::qam64, 7720},
    {Modulation::qam64, 8220},    {Modulation::qam64, 8730},    {Modulation::qam64, 9100},
    {Modulation::qam64, 9480},
};

inline constexpr Mcs mcs_table_tp_qam64_low_se_pi2_bpsk[] = {
    {Modulation::pi2_bpsk, 600},  {Modulation::pi2_bpsk, 800},  {Modulation::pi2_bpsk, 1000},
    {Modulation::pi2_bpsk, 1280}, {Modulation::pi2_bpsk, 1560}, {Modulation::pi2_bpsk, 1980},
    {Modulation::qpsk, 1200},     {Modulation::qpsk, 1570},     {Modulation::qpsk, 1930},
    {Modulation::qpsk, 2510},     {Modulation::qpsk, 3080},     {Modulation::qpsk, 3790},
    {Modulation::qpsk, 4490},     {Modulation::qpsk, 5260},     {Modulation::qpsk, 6020},
    {Modulation::qpsk, 6790},     {Modulation::qam16, 3780},    {Modulation::qam16, 4340},
    {Modulation::qam16, 4900},    {Modulation::qam16, 5530},    {Modulation::qam16, 6160},
    {Modulation::qam16, 6580},    {Modulation::qam16, 6990},    {Modulation::qam16, 7720},
    {Modulation::qam64, 5670},    {Modulation::qam64, 6160},    {Modulation::qam64, 6660},
    {Modulation::qam64, 7720},
};

inline constexpr int tbs_table[] = {
    24,   32,   40,   48,   56,   64,   72,   80,   88,   96,   104,  112,  120,  128,  136,  144,
    152,  160,  168,  176,  184,  192,  208,  224,  240,  256,  272,  288,  304,  320,  336,  352,
    368,  384,  408,  432,  456,  480,  504,  528,  552,  576,  608,  640,  672,  704,  736,  768,
    808,  848,  888,  928,  984,  1032, 1064, 1128, 1160, 1192, 1224, 1256, 1288, 1320, 1352, 1416,
    1480, 1544, 1608, 1672, 1736, 1800, 1864, 1928, 2024, 2088, 2152, 2216, 2280, 2408, 2472, 2536,
    2600, 2664, 2728, 2792, 2856, 2976, 3104, 3240, 3368, 3496, 3624, 3752, 3824};

}  // namespace noroshi::nr
