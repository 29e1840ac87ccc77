"""Does a ranking of super-resolution methods teach a scorer to judge new pictures and new methods?"""
